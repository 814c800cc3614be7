"""Passes packets between two TUN devices, as a link of little worth does.

python packets.py SPACE DELAY LOSS makes both devices, moves the far one to the network namespace, and passes packets
until its input ends. It is told to "cut" the link and to "mend" it.
"""

import fcntl
import heapq
import os
import random
import select
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import count

from programs import ip

NEAR, FAR = "10.213.8.1", "10.213.8.2"
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
LARGEST_PACKET = 65536
QUEUED = "10000"  # packets; none is lost because this process was late
SEED = 5


def _devices(space: str) -> tuple[int, int]:
    """The files of both ends, which are configured."""
    near, far = f"near{os.getpid()}", f"far{os.getpid()}"
    files = _tun(near), _tun(far)
    for device in (near, far):
        ip("link", "set", device, "txqueuelen", QUEUED)
    ip("link", "set", far, "netns", space)
    ip("addr", "add", NEAR, "peer", FAR, "dev", near)
    ip("link", "set", near, "up")
    ip("-n", space, "addr", "add", FAR, "peer", NEAR, "dev", far)
    ip("-n", space, "link", "set", far, "up")
    ip("-n", space, "link", "set", "lo", "up")
    return files


def _tun(name: str) -> int:
    file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(file, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return file


def _pass_on(near: int, far: int, delay: float, loss: float) -> None:
    """Passes packets on until the input ends."""
    chance, numbers, orders, is_cut = random.Random(SEED), count(), sys.stdin.fileno(), False
    under_way: list[tuple[float, int, int, bytes]] = []  # when it arrives, its number, where, and the packet
    _say_done()
    while True:
        left = max(0.0, under_way[0][0] - time.monotonic()) if under_way else None
        readable, _, _ = select.select([near, far, orders], [], [], left)
        if orders in readable:
            order = os.read(orders, 100)
            if not order:
                return
            is_cut = order == b"cut\n"
            under_way = [] if is_cut else under_way
            _say_done()
        for file, other in ((near, far), (far, near)):
            for packet in _packets(file) if file in readable else ():
                if not is_cut and chance.random() >= loss:
                    heapq.heappush(under_way, (time.monotonic() + delay, next(numbers), other, packet))
        while under_way and under_way[0][0] <= time.monotonic():
            _, _, file, packet = heapq.heappop(under_way)
            with suppress(OSError):  # its queue is full: lost
                os.write(file, packet)


def _packets(file: int) -> Iterator[bytes]:
    with suppress(BlockingIOError):
        for _ in range(64):  # so that the other direction has its turn
            yield os.read(file, LARGEST_PACKET)


def _say_done() -> None:
    sys.stdout.write("done\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _pass_on(*_devices(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))
