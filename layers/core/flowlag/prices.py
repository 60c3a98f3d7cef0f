"""List prices of what a campaign uses, as dated data: in USD, without taxes, discounts and free tiers.

AWS itself could not be asked: each price was found in a public copy or quotation, which it names. A price for which
none was found is marked as unverified, and says what it was taken from. Look at AWS's own page before you budget.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from flowlag.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

COLLECTED_ON: Final = "2026-11-23"
"""When these prices were put together."""

N_VIRGINIA: Final = "us-east-1"
OHIO: Final = "us-east-2"
OREGON: Final = "us-west-2"
IRELAND: Final = "eu-west-1"
FRANKFURT: Final = "eu-central-1"
TOKYO: Final = "ap-northeast-1"
SYDNEY: Final = "ap-southeast-2"

REGIONS: Final = (N_VIRGINIA, OHIO, OREGON, IRELAND, FRANKFURT, TOKYO, SYDNEY)
"""Regions whose prices are known. Any other is taken at the prices of us-east-1, and an estimate says so."""

HOURS_A_MONTH: Final = 730
"""What AWS divides a monthly price by."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a price was found.

    Attributes:
        what: in a few words.
        as_of: the date that the source gives, else the one on which its copy was read; ISO 8601.
        url: AWS's own list or the page; None where no source was found, and the price is unverified.
    """

    what: str
    as_of: str
    url: str | None = None

    @property
    def is_verified(self) -> bool:
        """Whether a source was found at all."""
        return self.url is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The price of one unit of a product.

    `region` is the one whose price it is: us-east-1 where none is known of the region that was asked for.
    """

    product: str
    unit: str
    usd: float
    region: str
    source: Source


@dataclass(frozen=True, slots=True)
class _Product:
    unit: str
    quotes: Mapping[Source, Mapping[str, float]]


def _price_list(service: str, region: str, as_of: str = COLLECTED_ON) -> Source:
    """AWS's own price list, as somebody quoted it in public."""
    url = f"https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws/{service}/current/{region}/index.json"
    return Source(f"AWS price list of {service} in {region}, quoted in public", as_of, url)


def _as_in(*regions: str) -> Source:
    return Source(f"no source found: taken to be as in {', '.join(regions)}; unverified", COLLECTED_ON)


def _everywhere(usd: float) -> Mapping[str, float]:
    return dict.fromkeys(REGIONS, usd)


def _in(*regions: str, usd: float) -> Mapping[str, float]:
    return dict.fromkeys(regions, usd)


_MEMORY = Source("from memory, unverified", COLLECTED_ON)
_STEP_FUNCTIONS = Source("AWS's page, stored copy", COLLECTED_ON, "https://aws.amazon.com/step-functions/pricing/")
_ATHENA = Source("AWS's page, stored copy, names no region", COLLECTED_ON, "https://aws.amazon.com/athena/pricing/")
_DASHBOARDS = Source("a price book of AWS list prices", "2026-03-26", "https://aws.amazon.com/cloudwatch/pricing/")
_SCHEDULER = Source("article", "2026-03-13", "https://cloudburn.io/blog/amazon-eventbridge-pricing")
_TOKYO_LOGS = Source("article", COLLECTED_ON, "https://zenn.dev/team_delta/articles/0b581e29f87e7b")
_VIRGINIA_S3 = Source("article", COLLECTED_ON, "https://c3x.dev/blog/s3-request-fees-explained")
_FRANKFURT_LOGS = Source(
    "a price book of AWS list prices", "2026-03-26", "https://aws.amazon.com/cloudwatch/pricing/#Logs"
)
_LAMBDA_ELSEWHERE = Source(
    "AWS Lambda Power Tuning 4.3.4 has one price for all these regions",
    COLLECTED_ON,
    "https://github.com/alexcasalboni/aws-lambda-power-tuning/blob/0084b5a69a0e654fddd24f65f04f305e14069deb/template.yml",
)
_EC2 = Source(
    "SkyPilot's catalog; for us-east-1 it agrees with Karpenter's price list of this date",
    "2026-01-19",
    "https://github.com/skypilot-org/skypilot-catalog/blob/00148f2af3672e2229b4f7bf8157d5a3f36e3c35/catalogs/v8/aws/vms.csv",
)
_VENDED_AS_CUSTOM = Source(
    "no source found: taken to be the price of custom logs, as in us-east-1, us-east-2, us-west-2 and "
    "ap-northeast-1; unverified",
    COLLECTED_ON,
)
# One quotation has $0.50 for us-east-2; it repeats the price of CloudWatch line by line, and was not believed.
_VENDED_S3_AS_HALF = Source(
    "no source found: taken to be half of CloudWatch's, as in us-east-1 and ap-northeast-1; unverified",
    COLLECTED_ON,
)

_CLOUDWATCH_VIRGINIA = _price_list("AmazonCloudWatch", N_VIRGINIA, "2025-10-28")
_CLOUDWATCH_OHIO = _price_list("AmazonCloudWatch", OHIO)
_CLOUDWATCH_OREGON = _price_list("AmazonCloudWatch", OREGON, "2026-08-08")
_CLOUDWATCH_IRELAND = _price_list("AmazonCloudWatch", IRELAND, "2026-09-22")
_CLOUDWATCH_SYDNEY = _price_list("AmazonCloudWatch", SYDNEY)
_LAMBDA_IRELAND = _price_list("AWSLambda", IRELAND, "2026-10-01")
_LAMBDA_OREGON = _price_list("AWSLambda", OREGON, "2026-08-08")
_S3_OREGON = _price_list("AmazonS3", OREGON, "2026-08-08")
_S3_FRANKFURT = _price_list("AmazonS3", FRANKFURT, "2026-09-28")
_S3_SYDNEY = _price_list("AmazonS3", SYDNEY)


def _instance(us: float, ireland: float, frankfurt: float, tokyo: float, sydney: float) -> _Product:
    abroad = {IRELAND: ireland, FRANKFURT: frankfurt, TOKYO: tokyo, SYDNEY: sydney}
    return _Product("hour", {_EC2: {**_in(N_VIRGINIA, OHIO, OREGON, usd=us), **abroad}})


_INSTANCES: Final[Mapping[str, _Product]] = {
    "t2.micro": _instance(0.0116, 0.0126, 0.0134, 0.0152, 0.0146),
    "t2.small": _instance(0.0230, 0.0250, 0.0268, 0.0304, 0.0292),
    "t3.micro": _instance(0.0104, 0.0114, 0.0120, 0.0136, 0.0132),
    "t3.small": _instance(0.0208, 0.0228, 0.0240, 0.0272, 0.0264),
    "t4g.nano": _instance(0.0042, 0.0046, 0.0048, 0.0054, 0.0053),
    "t4g.micro": _instance(0.0084, 0.0092, 0.0096, 0.0108, 0.0106),
}
INSTANCE_TYPES: Final = tuple(_INSTANCES)
"""Instance types whose price is known: an hour of Linux on demand."""

_PRODUCTS: Final[Mapping[str, _Product]] = {
    "step-functions": _Product("transition", {_STEP_FUNCTIONS: _everywhere(0.000_025)}),
    "lambda-arm64": _Product(
        "GB-second",
        {
            _LAMBDA_IRELAND: {IRELAND: 0.000_013_333_4},
            _LAMBDA_OREGON: {OREGON: 0.000_013_333_4},
            _LAMBDA_ELSEWHERE: _everywhere(0.000_013_333_4),
        },
    ),
    "lambda-x86_64": _Product(
        "GB-second",
        {_LAMBDA_IRELAND: {IRELAND: 0.000_016_666_7}, _LAMBDA_ELSEWHERE: _everywhere(0.000_016_666_7)},
    ),
    "lambda-request": _Product(
        "request",
        {
            _LAMBDA_IRELAND: {IRELAND: 0.000_000_2},
            _LAMBDA_OREGON: {OREGON: 0.000_000_2},
            _as_in(IRELAND, OREGON): _everywhere(0.000_000_2),
        },
    ),
    **{f"ec2-{name}": product for name, product in _INSTANCES.items()},
    "public-ipv4": _Product(
        "hour",
        {
            _price_list("AmazonVPC", N_VIRGINIA, "2026-07-24"): {N_VIRGINIA: 0.005},
            _price_list("AmazonVPC", FRANKFURT, "2026-08-31"): {FRANKFURT: 0.005},
            _as_in(N_VIRGINIA, FRANKFURT): _everywhere(0.005),
        },
    ),
    "gp3": _Product(
        "GB-month",
        {
            _price_list("AmazonEC2", N_VIRGINIA): {N_VIRGINIA: 0.08},
            _price_list("AmazonEC2", OHIO, "2023-03-01"): {OHIO: 0.08},
            _price_list("AmazonEC2", IRELAND): {IRELAND: 0.088},
            _price_list("AmazonEC2", FRANKFURT, "2026-09-01"): {FRANKFURT: 0.0952},
            _price_list("AmazonEC2", TOKYO): {TOKYO: 0.096},
            _MEMORY: {OREGON: 0.08, SYDNEY: 0.096},
        },
    ),
    "vended-logs-cloudwatch": _Product(
        "GB",
        {
            _CLOUDWATCH_VIRGINIA: {N_VIRGINIA: 0.50},
            _CLOUDWATCH_OHIO: {OHIO: 0.50},
            _CLOUDWATCH_OREGON: {OREGON: 0.50},
            _TOKYO_LOGS: {TOKYO: 0.76},
            _VENDED_AS_CUSTOM: {IRELAND: 0.57, FRANKFURT: 0.63, SYDNEY: 0.67},
        },
    ),
    "vended-logs-s3": _Product(
        "GB",
        {
            _CLOUDWATCH_VIRGINIA: {N_VIRGINIA: 0.25},
            _TOKYO_LOGS: {TOKYO: 0.38},
            _VENDED_S3_AS_HALF: {OHIO: 0.25, OREGON: 0.25, IRELAND: 0.285, FRANKFURT: 0.315, SYDNEY: 0.335},
        },
    ),
    "parquet-conversion": _Product(
        "GB",
        {
            _CLOUDWATCH_VIRGINIA: {N_VIRGINIA: 0.03},
            _CLOUDWATCH_OHIO: {OHIO: 0.035},
            _TOKYO_LOGS: {TOKYO: 0.056},
        },
    ),
    "logs-ingestion": _Product(
        "GB",
        {
            _CLOUDWATCH_VIRGINIA: {N_VIRGINIA: 0.50},
            _CLOUDWATCH_OHIO: {OHIO: 0.50},
            _CLOUDWATCH_OREGON: {OREGON: 0.50},
            _CLOUDWATCH_IRELAND: {IRELAND: 0.57},
            _FRANKFURT_LOGS: {FRANKFURT: 0.63},
            _TOKYO_LOGS: {TOKYO: 0.76},
            _CLOUDWATCH_SYDNEY: {SYDNEY: 0.67},
        },
    ),
    "logs-storage": _Product(
        "GB-month",
        {
            _CLOUDWATCH_VIRGINIA: {N_VIRGINIA: 0.03},
            _CLOUDWATCH_OHIO: {OHIO: 0.03},
            _CLOUDWATCH_OREGON: {OREGON: 0.03},
            _CLOUDWATCH_IRELAND: {IRELAND: 0.03},
            _TOKYO_LOGS: {TOKYO: 0.033},
            _CLOUDWATCH_SYDNEY: {SYDNEY: 0.033},
            _MEMORY: {FRANKFURT: 0.0324},
        },
    ),
    "metric": _Product(
        "metric-month",
        {
            _CLOUDWATCH_VIRGINIA: {N_VIRGINIA: 0.30},
            _CLOUDWATCH_OHIO: {OHIO: 0.30},
            _CLOUDWATCH_OREGON: {OREGON: 0.30},
            _CLOUDWATCH_SYDNEY: {SYDNEY: 0.30},
            _as_in(N_VIRGINIA, OHIO, OREGON, SYDNEY): _everywhere(0.30),
        },
    ),
    "alarm": _Product(
        "alarm-month",
        {
            _CLOUDWATCH_VIRGINIA: {N_VIRGINIA: 0.10},
            _CLOUDWATCH_OHIO: {OHIO: 0.10},
            _CLOUDWATCH_OREGON: {OREGON: 0.10},
            _CLOUDWATCH_IRELAND: {IRELAND: 0.10},
            _as_in(N_VIRGINIA, OHIO, OREGON, IRELAND): _everywhere(0.10),
        },
    ),
    "dashboard": _Product("dashboard-month", {_DASHBOARDS: _everywhere(3.00)}),
    "s3-write": _Product(
        "request",
        {
            _VIRGINIA_S3: {N_VIRGINIA: 0.000_005},
            _S3_OREGON: {OREGON: 0.000_005},
            _S3_FRANKFURT: {FRANKFURT: 0.000_005_4},
            _TOKYO_LOGS: {TOKYO: 0.000_004_7},
            _S3_SYDNEY: {SYDNEY: 0.000_005_5},
            _as_in(N_VIRGINIA, OREGON): _in(OHIO, IRELAND, usd=0.000_005),
        },
    ),
    "s3-read": _Product(
        "request",
        {
            _VIRGINIA_S3: {N_VIRGINIA: 0.000_000_4},
            _S3_OREGON: {OREGON: 0.000_000_4},
            _S3_FRANKFURT: {FRANKFURT: 0.000_000_43},
            _S3_SYDNEY: {SYDNEY: 0.000_000_44},
            _as_in(N_VIRGINIA, OREGON): _in(OHIO, IRELAND, usd=0.000_000_4),
            _MEMORY: {TOKYO: 0.000_000_37},
        },
    ),
    "s3-storage": _Product(
        "GB-month",
        {
            _S3_OREGON: {OREGON: 0.023},
            _S3_FRANKFURT: {FRANKFURT: 0.0245},
            _TOKYO_LOGS: {TOKYO: 0.025},
            _S3_SYDNEY: {SYDNEY: 0.025},
            _as_in(OREGON): _in(N_VIRGINIA, OHIO, IRELAND, usd=0.023),
        },
    ),
    "sqs": _Product(
        "request",
        {
            _price_list("AWSQueueService", IRELAND, "2026-09-11"): {IRELAND: 0.000_000_4},
            _price_list("AWSQueueService", OREGON, "2026-08-08"): {OREGON: 0.000_000_4},
            _as_in(IRELAND, OREGON): _everywhere(0.000_000_4),
        },
    ),
    "scheduler": _Product(
        "invocation",
        {_SCHEDULER: {N_VIRGINIA: 0.000_001}, _as_in(N_VIRGINIA): _everywhere(0.000_001)},
    ),
    "athena": _Product("TB", {_ATHENA: _everywhere(5.00)}),
    "transfer": _Product(
        "GB",
        {
            _price_list("AWSDataTransfer", TOKYO, "2021-03-31"): {TOKYO: 0.09},
            _MEMORY: {**_in(N_VIRGINIA, OHIO, OREGON, IRELAND, FRANKFURT, usd=0.02), SYDNEY: 0.098},
        },
    ),
}

PRODUCTS: Final = tuple(_PRODUCTS)
"""What has a price. `transfer` is from a region to another one."""


def price(product: str, region: str) -> Price:
    """The price of a unit of `product` in `region`, else in us-east-1, which the answer then names.

    Raises:
        InvalidRequest: no price of it is known at all.
    """
    if product not in _PRODUCTS:
        raise InvalidRequest(f"no price is known of '{product}': known are {', '.join(PRODUCTS)}")
    known = _PRODUCTS[product]
    quotes = [
        Price(product=product, unit=known.unit, usd=usd[priced], region=priced, source=source)
        for priced in (region, N_VIRGINIA)
        for source, usd in known.quotes.items()
        if priced in usd
    ]
    return quotes[0]
