"""Calls before a fork, and behind it under gevent, as servers do that load the app first and patch in their workers."""

import os
import warnings

from langchain_ovhcloud import ChatOVHCloud

model = ChatOVHCloud(model="gpt-oss-120b")
model.invoke("Hello")
if (child := os.fork()) == 0:
    from gevent import monkey, pool

    warnings.simplefilter("ignore", monkey.MonkeyPatchWarning)  # it is late, as it is meant to be
    monkey.patch_all()
    print(len({answer.text for answer in pool.Pool(20).map(lambda _: model.invoke("Hello"), range(20))}), flush=True)
    os._exit(0)
os.waitpid(child, 0)
