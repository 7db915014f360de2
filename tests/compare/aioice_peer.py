"""aioice_peer.py STUN SIGNAL PORT ROOM offer|answer - one side of a connection by aioice, for `make compare`.

Prints {"event":"ready"} when it has gathered its candidates and its signalling stands; the offering side
begins at SIGUSR1 and prints {"event":"result"} with whether it is connected, and after how many ms.
"""

import asyncio
import json
import signal
import sys
import time

import aioice

LIMIT_S = 15


def own_word(connection):
    candidates = [c.to_sdp() for c in connection.local_candidates]
    word = [connection.local_username, connection.local_password, candidates]
    return json.dumps(word).encode() + b"\n"


async def hear(connection, reader):
    word = await reader.readline()
    connection.remote_username, connection.remote_password, candidates = json.loads(word)
    for candidate in candidates:
        await connection.add_remote_candidate(aioice.Candidate.from_sdp(candidate))
    await connection.add_remote_candidate(None)


async def offer(connection, reader, writer, told):
    async def connect():
        writer.write(own_word(connection))
        await hear(connection, reader)
        await connection.connect()

    await told.wait()
    began = time.monotonic()
    try:
        await asyncio.wait_for(connect(), LIMIT_S)
        direct = True
    except (ConnectionError, asyncio.TimeoutError):
        direct = False
    ms = (time.monotonic() - began) * 1000
    print(json.dumps({"event": "result", "direct": direct, "ms": ms}), flush=True)


async def answer(connection, reader, writer):
    await hear(connection, reader)
    writer.write(own_word(connection))
    connecting = asyncio.create_task(connection.connect())
    await reader.read()  # until the other side has done
    connecting.cancel()
    await asyncio.gather(connecting, return_exceptions=True)


async def main():
    stun, at, port, room, role = sys.argv[1:]
    connection = aioice.Connection(ice_controlling=role == "offer", stun_server=(stun, 3478))
    await connection.gather_candidates()
    reader, writer = await asyncio.open_connection(at, int(port))
    writer.write(room.encode() + b"\n")
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, told.set)
    print('{"event":"ready"}', flush=True)
    if role == "answer":
        await answer(connection, reader, writer)
    else:
        await offer(connection, reader, writer, told)


asyncio.run(main())
