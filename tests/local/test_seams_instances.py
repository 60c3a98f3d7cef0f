"""Instances and their commands on the embedded AWS."""

import pytest

from tests.local.stacks import (
    ACCOUNT,
    DOCUMENT,
    REGION,
    VPC,
    create,
    create_instances,
    described_instance,
    error_of,
    eventually,
    instance,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def instances(region):
    return create_instances(region)


class TestInstances:
    def test_an_instance_is_as_its_template_says(self, region, instances):
        sender = described_instance(region, instances["Sender"])
        assert sender["PrivateIpAddress"] == instances["Address"] == "10.99.0.10"
        assert sender["PublicIpAddress"] == instances["Public"]
        assert (sender["InstanceType"], sender["Architecture"]) == ("t3.micro", "x86_64")
        assert (sender["SubnetId"], sender["VpcId"]) == (instances["Subnet"], instances["Vpc"])
        assert sender["IamInstanceProfile"]["Arn"].startswith(f"arn:aws:iam::{ACCOUNT}:instance-profile/instances-")
        tags = {tag["Key"]: tag["Value"] for tag in sender["Tags"]}
        assert tags["flowlag:role"] == "sender"
        assert tags["aws:cloudformation:logical-id"] == "Sender"

    def test_it_has_a_network_interface_that_stays_the_same(self, region, instances):
        (interface,) = described_instance(region, instances["Sender"])["NetworkInterfaces"]
        (again,) = described_instance(region, instances["Sender"])["NetworkInterfaces"]
        assert interface["NetworkInterfaceId"] == again["NetworkInterfaceId"]
        assert interface["PrivateIpAddress"] == "10.99.0.10"
        (described,) = region.client("ec2").describe_network_interfaces(
            NetworkInterfaceIds=[interface["NetworkInterfaceId"]]
        )["NetworkInterfaces"]
        assert described["Attachment"]["InstanceId"] == instances["Sender"]

    def test_one_that_asks_for_no_address_has_that_of_the_host_that_it_stands_for(self, region):
        # AWS draws one; the virtual network has those that it has.
        roles = {"Sender": "sender", "Target": "target", "Other": "other"}
        found = create(
            region,
            "addresses",
            {**VPC, **{name: instance(role) for name, role in roles.items()}},
            {name: {"Fn::GetAtt": [name, "PrivateIp"]} for name in roles},
        )
        assert (found["Sender"], found["Target"]) == ("10.99.0.10", "10.99.0.20")
        assert found["Other"] not in ("10.99.0.10", "10.99.0.20")

    def test_its_image_is_that_of_its_processor(self, region, instances):
        other = described_instance(region, instances["Other"])
        assert other["ImageId"].startswith("ami-")
        assert other["Architecture"] == "arm64"

    @pytest.mark.parametrize(
        ("kind", "hypervisor", "processor"),
        [("t2.micro", "xen", "x86_64"), ("t3.micro", "nitro", "x86_64"), ("t4g.nano", "nitro", "arm64")],
    )
    def test_an_instance_type_is_as_it_is_sold(self, region, kind, hypervisor, processor):
        (described,) = region.client("ec2").describe_instance_types(InstanceTypes=[kind])["InstanceTypes"]
        assert described["Hypervisor"] == hypervisor
        assert described["ProcessorInfo"]["SupportedArchitectures"] == [processor]

    def test_a_zone_is_found_by_its_name(self, region):
        (zone,) = region.client("ec2").describe_availability_zones(ZoneNames=["us-east-1b"])["AvailabilityZones"]
        assert (zone["ZoneName"], zone["ZoneId"]) == ("us-east-1b", "use1-az2")
        assert len(region.client("ec2").describe_availability_zones()["AvailabilityZones"]) == 3

    @pytest.mark.parametrize(
        ("properties", "reason"),
        [
            (
                {"PrivateIpAddress": "10.98.0.1"},
                "Address 10.98.0.1 does not fall within the subnet's address range",
            ),
            ({"PrivateIpAddress": "10.99.0.10"}, "Address 10.99.0.10 is in use."),
            ({"SubnetId": "subnet-0"}, "The subnet ID 'subnet-0' does not exist"),
            ({"IamInstanceProfile": "nobody"}, "Value (nobody) for parameter iamInstanceProfile.name is invalid"),
        ],
    )
    def test_an_instance_that_cannot_be_fails_its_stack(self, region, instances, properties, reason):
        resource = instance("sender", **{"SubnetId": instances["Subnet"], **properties})
        with pytest.raises(AssertionError) as failure:
            create(region, f"wrong-{len(reason)}", {"Instance": resource}, {})
        assert reason in str(failure.value)

    def test_a_document_that_cannot_be_run_fails_its_stack(self, region):
        document = {"Type": "AWS::SSM::Document", "Properties": {"Content": {**DOCUMENT, "schemaVersion": "0.3"}}}
        with pytest.raises(AssertionError, match=r"schemaVersion '2\.2'"):
            create(region, "wrong-document", {"Document": document}, {})

    def test_deleting_the_stack_deletes_them(self, region):
        network = create(region, "gone", {**VPC, "One": instance("x")}, {"One": {"Ref": "One"}})
        region.client("cloudformation").delete_stack(StackName="gone")
        state = eventually(
            lambda: described_instance(region, network["One"])["State"]["Name"], lambda state: state == "terminated"
        )
        assert state == "terminated"
        assert not described_instance(region, network["One"])["NetworkInterfaces"]


class TestCommands:
    @pytest.fixture
    def run(self, region, instances):
        def run(what, to="Sender", document="Document"):
            ssm = region.client("ssm")
            command = ssm.send_command(
                DocumentName=instances[document], InstanceIds=[instances[to]], Parameters={"What": [what]}
            )["Command"]
            look = {"CommandId": command["CommandId"], "InstanceId": instances[to]}
            assert command["Status"] == "Pending"
            return eventually(
                lambda: ssm.get_command_invocation(**look),
                lambda invocation: invocation["Status"] not in ("Pending", "InProgress"),
            )

        return run

    def test_a_command_runs_and_is_told_about(self, run):
        done = run("say")
        assert (done["Status"], done["ResponseCode"]) == ("Success", 0)
        assert done["StandardOutputContent"] == f"said say in {REGION}\n"
        assert done["StandardErrorContent"] == "complained\n"

    def test_a_command_that_fails_has_failed(self, run):
        done = run("fail")
        assert (done["Status"], done["ResponseCode"]) == ("Failed", 3)

    def test_a_command_that_takes_too_long_is_killed(self, run):
        done = run("sleep", document="Impatient")
        assert done["Status"] == "Failed"
        assert "killed after 1 s" in done["StandardErrorContent"]

    def test_it_runs_on_the_instance(self, region, run):
        if region.network != "namespaces":
            pytest.skip(f"there is no network: {region.reason}")
        assert run("address")["StandardOutputContent"] == "mine\n"

    def test_it_has_the_rights_of_the_instance(self, run, instances):
        who = run("who")["StandardOutputContent"].strip()
        assert who.endswith(f":assumed-role/{instances['InstanceRole']}/{instances['Sender']}")

    def test_it_has_a_home_of_its_own_and_nothing_of_the_machine(self, run):
        here, path = run("home")["StandardOutputContent"].split()
        assert here == "here"
        assert path == "/bin:/usr/bin"

    @pytest.mark.parametrize("value", ["UPPER", "a b", "x; reboot", "$(reboot)", ""])
    def test_a_parameter_that_the_pattern_forbids_is_refused(self, region, instances, value):
        send = region.client("ssm").send_command
        refused = error_of(
            send,
            DocumentName=instances["Document"],
            InstanceIds=[instances["Sender"]],
            Parameters={"What": [value]},
        )
        assert refused == "InvalidParameters"

    @pytest.mark.parametrize("to", ["Other", "Unprofiled"])
    def test_an_instance_without_a_box_or_a_profile_takes_no_command(self, region, instances, to):
        send = region.client("ssm").send_command
        parameters = {"DocumentName": instances["Document"], "Parameters": {"What": ["say"]}}
        assert error_of(send, InstanceIds=[instances[to]], **parameters) == "InvalidInstanceId"

    @pytest.mark.parametrize("document", ["AWS-RunShellScript", "nothing"])
    def test_another_document_than_the_stacks_own_is_refused(self, region, instances, document):
        send = region.client("ssm").send_command
        assert error_of(send, DocumentName=document, InstanceIds=[instances["Sender"]]) == "InvalidDocument"
