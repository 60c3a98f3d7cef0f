"""What a bucket's policy lets the log-delivery service do: the rights by which flow logs come into S3.

To S3 flow logs come with no role. AWS's own service writes them, and only the bucket's policy lets it; no emulator
asks. The policy is AWS's to evaluate, here MiniStack's.
"""

from __future__ import annotations

from typing import Final

from ministack.core import iam_evaluator

PUT_OBJECT: Final = "s3:PutObject"
GET_BUCKET_ACL: Final = "s3:GetBucketAcl"

_SERVICE: Final = "delivery.logs.amazonaws.com"


def lets_logs_in(policy: str | None, action: str, resource_arn: str, *, account_id: str, region: str) -> bool:
    """Whether a bucket's policy lets the log-delivery service act on behalf of an account, in a region.

    Args:
        policy: JSON; None where the bucket has none.
        action: `PUT_OBJECT` or `GET_BUCKET_ACL`.
        resource_arn: of the object or the bucket.
        account_id: whose flow log it is.
        region: where it is; the bucket may be elsewhere.
    """
    context = iam_evaluator.EvalContext(
        principal_arn="*",  # matches nobody by name
        principal_type="Service",
        principal_account="",
        action=action,
        resource_arn=resource_arn,
        region=region,
        secure_transport=True,
        service_context={
            "aws:sourceaccount": account_id,
            "aws:sourcearn": f"arn:aws:logs:{region}:{account_id}:*",
            # As documented. A bucket without ACLs is said to get none, and this condition then to deny every
            # delivery (https://github.com/cloudposse/terraform-aws-vpc-flow-logs-s3-bucket/pull/101, 2026-06):
            # a policy does better without it.
            "s3:x-amz-acl": "bucket-owner-full-control",
        },
    )
    return bool(iam_evaluator.evaluate_resource_policy(policy, context, service=_SERVICE).decision == "Allow")
