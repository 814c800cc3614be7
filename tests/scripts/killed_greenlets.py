"""Greenlets that are killed during the process's first call, which imports the HTTP library."""

import gevent
from gevent import monkey

monkey.patch_all()

from langchain_ovhcloud import ChatOVHCloud  # noqa: E402 - behind the patches, as gevent wants it

model = ChatOVHCloud(model="gpt-oss-120b")


def call(place: int) -> str:
    with gevent.Timeout(0.03 if place % 3 == 0 else None, False):
        return model.invoke("Hello").text
    return "killed"


greenlets = [gevent.spawn(call, place) for place in range(60)]
gevent.joinall(greenlets, timeout=20)
print(sum(not greenlet.dead for greenlet in greenlets))
