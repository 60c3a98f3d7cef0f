"""When an object came, as the embedded S3 tells it."""

import pytest

pytestmark = pytest.mark.slow


def test_a_list_and_the_object_itself_say_the_same_second(region):
    s3 = region.client("s3")
    s3.create_bucket(Bucket="ages")
    for number in range(3):  # one of them at least comes in the middle of a second
        s3.put_object(Bucket="ages", Key=f"{number}")
    listed = {each["Key"]: each["LastModified"] for each in s3.list_objects_v2(Bucket="ages")["Contents"]}
    for key, at in listed.items():
        assert at == s3.head_object(Bucket="ages", Key=key)["LastModified"]
        assert at.microsecond == 0
