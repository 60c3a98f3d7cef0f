"""What runs leave behind, put where it may be found."""

import json
from dataclasses import replace

from flowlag.plan import RunPlan
from flowlag_aws import clients
from tests.functions.run import ARM, PLAN, STACK, execution
from tests.functions.stack import Cloud


class Remains:
    """Leaves behind what runs make, each thing by its run."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._vpc = clients.ec2().create_vpc(CidrBlock="10.99.0.0/24")["Vpc"]["VpcId"]

    def plan(self, run_id: str) -> RunPlan:
        plan = replace(PLAN, run_id=run_id, execution=execution(run_id))
        self._cloud.store.put_plan(plan)
        return plan

    def claim(self, run_id: str, sender: str = PLAN.sender_instance_id) -> None:
        claim = {"run_id": run_id, "execution": execution(run_id)}
        self._cloud.store.put(f"control/claims/{sender}.json", json.dumps(claim).encode())

    def flow_log(self, run_id: str, owner: str | None = None) -> str:
        values = {"flowlag:run-id": run_id, "flowlag:execution": owner or execution(run_id)}
        (flow_log_id,) = clients.ec2().create_flow_logs(
            ResourceType="VPC",
            ResourceIds=[self._vpc],
            TrafficType="ALL",
            LogGroupName=f"{run_id}{owner}",
            DeliverLogsPermissionArn="arn:aws:iam::123456789012:role/deliver",
            TagSpecifications=[
                {"ResourceType": "vpc-flow-log", "Tags": [{"Key": k, "Value": v} for k, v in values.items()]}
            ],
        )["FlowLogIds"]
        return flow_log_id

    def evidence(self, run_id: str, stack: str = STACK) -> None:
        clients.logs().create_log_group(logGroupName=f"/flowlag/{stack}/{run_id}/{ARM}")
        self._cloud.store.put(f"deliveries/{run_id}/s3-text-600/AWSLogs/x.log.gz", b"records")

    def everything(self, run_id: str = PLAN.run_id) -> None:
        """What an execution that is aborted in its traffic window leaves behind."""
        self.plan(run_id)
        self.claim(run_id)
        self.flow_log(run_id)
        self.evidence(run_id)


def left(cloud: Cloud) -> tuple[set[str], set[str], set[str]]:
    """Flow logs, log groups and deliveries."""
    return (
        {each["FlowLogId"] for each in clients.ec2().describe_flow_logs()["FlowLogs"]},
        {each["logGroupName"] for each in clients.logs().describe_log_groups()["logGroups"]},
        set(cloud.objects("deliveries/")),
    )
