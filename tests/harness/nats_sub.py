"""What `nats sub SUBJECT` of the natscli does, with nats-py: prints each message's subject and payload.

usage: nats_sub.py sub [-s URL] SUBJECT. Without -s the server of NATS_URL or CARILLON_NATS_URL. Ends when it is told to.
"""

import argparse
import asyncio
import os
import signal
import sys

import nats


async def main() -> None:
    parser = argparse.ArgumentParser(prog="nats")
    parser.add_argument("command", choices=["sub"])
    parser.add_argument("-s", "--server")
    parser.add_argument("subject")
    arguments = parser.parse_args()
    environment = os.environ.get("NATS_URL") or os.environ.get("CARILLON_NATS_URL")
    url = arguments.server or environment or "nats://127.0.0.1:4222"
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    heard = 0

    async def show(message) -> None:
        nonlocal heard
        heard += 1
        payload = message.data.decode("utf-8", "replace")
        print(f'[#{heard}] Received on "{message.subject}"\n{payload}\n', flush=True)

    connection = await nats.connect(url, connect_timeout=5)
    await connection.subscribe(arguments.subject, cb=show)
    await connection.flush()
    print(f"Subscribing on {arguments.subject}", file=sys.stderr, flush=True)
    await ended.wait()
    await connection.close()


if __name__ == "__main__":
    asyncio.run(main())
