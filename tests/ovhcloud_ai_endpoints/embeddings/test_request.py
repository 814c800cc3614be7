import pytest

from ovhcloud_ai_endpoints import PayloadTooLargeError
from ovhcloud_ai_endpoints._catalogue.models import LARGEST_REQUEST
from ovhcloud_ai_endpoints._embeddings.request import embedding_request

OVHCLOUD = "https://oai.endpoints.kepler.ai.cloud.ovh.net/v1"


def test_body_may_be_as_large_as_the_service_takes_and_no_larger() -> None:
    def sized(text: str, base_url: str = OVHCLOUD) -> int:
        return embedding_request([text, "y"], model="bge-m3", base_url=base_url).content().size

    room = LARGEST_REQUEST - sized("x") + 1

    assert sized("x" * room) == LARGEST_REQUEST
    assert sized("x" * (room + 1), "http://another/v1") == LARGEST_REQUEST + 1
    with pytest.raises(PayloadTooLargeError, match=r"was not sent\. Send fewer texts at once; this request has 2\.$"):
        sized("x" * (room + 1))
