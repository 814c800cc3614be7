"""Forks while another thread makes the process's first call, which imports the HTTP library; the child calls too."""

import os
import signal
import sys
import threading

from langchain_ovhcloud import OVHCloudEmbeddings

embeddings = OVHCloudEmbeddings(model="bge-m3")
calling = threading.Thread(target=embeddings.embed_query, args=("Hello",))
calling.start()
while "ovhcloud_ai_endpoints._http.over_httpx" not in sys.modules:  # the import has begun
    pass
child = os.fork()
if child == 0:
    signal.alarm(30)  # ends a child that hangs
    code = 1
    try:
        embeddings.embed_query("Hello")
        code = 0
    finally:
        os._exit(code)
calling.join()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
