#!/usr/bin/env python3
"""dumprestore beside redis-cli, in one run, on servers that this starts.

usage: redis.py DUMPRESTORE [--keys N] [--rounds N] [--programs FOLDER] [--keep]

The servers run in a temporary folder, with Redis' own settings but for the socket and for what a way's name tells. Prints
what `measure.py` prints; nothing is asserted.
"""

import argparse
import os
import shutil
import subprocess
import tempfile
import time

from measure import Way, compare

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAMS = os.path.join(HERE, "..", "target", "test-servers", "redis-7.0", "bin")

# Of ten keys: five sessions, two carts, and one list, set and sorted set; a stream of each thousand.
FILL = """
local from, to = tonumber(ARGV[1]), tonumber(ARGV[2])
local agent = 'Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/'
for n = from, to do
  local kind, hash = n % 10, redis.sha1hex(n)
  if kind < 5 then
    local session = '{"id":' .. n .. ',"token":"' .. hash .. '","agent":"' .. agent .. n % 140 .. '","cart":['
    for item = 1, n % 30 do session = session .. item * n % 9973 .. ',' end
    redis.call('SET', 'sess:' .. hash, session .. '0]}', 'EX', 86400 + n % 86400)
  elseif kind < 7 then
    redis.call('HSET', 'cart:' .. n, 'customer', n * 7919 % 100000, 'total', n % 7777, 'coupon', hash, 'note', agent)
  elseif kind == 7 then
    for item = 1, 5 + n % 20 do redis.call('RPUSH', 'queue:' .. n, hash .. item) end
  elseif kind == 8 then
    for item = 1, 5 + n % 60 do redis.call('SADD', 'seen:' .. n, item * n) end
  else
    for item = 1, 5 + n % 40 do redis.call('ZADD', 'top:' .. n, item * 1.5, hash .. item) end
  end
  if n % 1000 == 0 then
    for item = 1, 200 do redis.call('XADD', 'log:' .. n, '*', 'at', item, 'what', hash) end
  end
end
"""


class Server:
    def __init__(self, folder, name, programs, *options):
        self.data = os.path.join(folder, name)
        os.makedirs(self.data)
        self.socket = os.path.join(self.data, "socket")
        place = ["--port", "0", "--unixsocket", self.socket, "--dir", self.data]
        log = open(os.path.join(folder, f"{name}.log"), "w")
        self.process = subprocess.Popen([os.path.join(programs, "redis-server"), *place, *options], stdout=log, stderr=log)
        self.client = f"{os.path.join(programs, 'redis-cli')} -s {self.socket}"
        for _ in range(300):
            if subprocess.run(f"{self.client} ping", shell=True, stdout=subprocess.DEVNULL).returncode == 0:
                return
            time.sleep(0.1)
        raise SystemExit("the server does not come up")

    def fill(self, keys):
        for first in range(1, keys, 20000):
            arguments = [*self.client.split(), "eval", FILL, "0", str(first), str(min(first + 19999, keys))]
            subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)

    def memory(self):
        """Bytes that its data take."""
        told = subprocess.check_output(f"{self.client} info memory", shell=True, text=True)
        return next(line.split(":")[1].strip() for line in told.splitlines() if line.startswith("used_memory_dataset:"))

    def stop(self):
        self.process.kill()
        self.process.wait()


def processor_seconds(servers):
    """What they and the children that they waited for have used so far."""
    used = 0
    for server in servers:
        with open(f"/proc/{server.process.pid}/stat") as file:
            used += sum(map(int, file.read().rsplit(")", 1)[1].split()[11:15]))
    return used / os.sysconf("SC_CLK_TCK")


def write_protocol(server, path):
    """All keys as RESTORE commands, as redis-cli --pipe takes them."""
    import socket
    wire = socket.socket(socket.AF_UNIX)
    wire.connect(server.socket)
    replies = wire.makefile("rb")

    def command(*words):
        words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)

    def reply():
        line = replies.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            return replies.read(int(rest) + 2)[:-2]
        return [reply() for _ in range(int(rest))] if kind == b"*" else rest

    cursor = b"0"
    with open(path, "wb") as file:
        while True:
            wire.sendall(command("SCAN", cursor, "COUNT", 1000))
            cursor, keys = reply()
            wire.sendall(b"".join(command("DUMP", key) + command("PTTL", key) for key in keys))
            for key in keys:
                payload, left = reply(), max(int(reply()), 0)
                file.write(command("RESTORE", key, left, payload))
            if cursor == b"0":
                return


def ways(tool, folder, lively, default, target, fresh):
    for mode in ("deflate", "zstd"):
        for name, server in (("", lively), ("-default", default), ("-target", target), ("-fresh", fresh)):
            with open(os.path.join(folder, f"{mode}{name}.yaml"), "w") as file:
                file.write(f"version: 1\nname: shop\ncompression: {mode}\nset:\n  - name: db\n    driver: redis\n"
                           f"    url: \"redis+unix://{server.socket}\"\n")
    d = f"{tool} -q"
    ours = lambda mode, name="": Way(f"dumprestore {mode}{name and ', default settings'}",
                                     f"{d} dump -c {mode}{name}.yaml -o {mode}{name}.zip", f"rm -f {mode}{name}.zip", f"{mode}{name}.zip")
    empty = f"{fresh.client} flushall"
    return {
        "dump": [
            Way("redis-cli --rdb, no delay", f"{lively.client} --rdb cli.rdb", "rm -f cli.rdb", "cli.rdb"),
            Way("redis-cli --rdb \\| zstd -1, no delay", f"{lively.client} --rdb - | zstd -1 -q > cli.zst", "rm -f cli.zst", "cli.zst"),
            Way("redis-cli --rdb, default settings", f"{default.client} --rdb default.rdb", "rm -f default.rdb", "default.rdb"),
            ours("zstd"), ours("deflate"), ours("zstd", "-default"), ours("deflate", "-default"),
        ],
        "restore": [
            Way("redis-cli --pipe", f"{fresh.client} --pipe < keys.resp", empty),
            Way("dumprestore zstd, nothing there", f"{d} restore zstd.zip --yes -c zstd-fresh.yaml", empty),
            Way("dumprestore deflate, nothing there", f"{d} restore deflate.zip --yes -c deflate-fresh.yaml", empty),
            Way("dumprestore zstd, swapped", f"{d} restore zstd.zip --yes -c zstd-target.yaml"),
        ],
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tool")
    parser.add_argument("--keys", type=int, default=1000000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--programs", default=PROGRAMS, help="where redis-server and redis-cli are")
    parser.add_argument("--folder", default=None)
    parser.add_argument("--keep", action="store_true", help="leave the data behind, to look at")
    asked = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="dumprestore-bench-", dir=asked.folder)
    servers = []
    try:
        for name, options in (
            ("lively", ("--save", "", "--repl-diskless-sync-delay", "0")), ("default", ()),
            ("target", ("--save", "")), ("fresh", ("--save", "")),
        ):
            servers.append(Server(folder, name, asked.programs, *options))
        for server in servers[:3]:
            server.fill(asked.keys)
        # So many changes make it save by itself: not while it is measured.
        subprocess.run(f"while {servers[1].client} info persistence | grep -q rdb_bgsave_in_progress:1; do sleep 0.2; done; "
                       f"{servers[1].client} save", shell=True, check=True, stdout=subprocess.DEVNULL)
        write_protocol(servers[0], os.path.join(folder, "keys.resp"))
        size = os.path.getsize(os.path.join(folder, "keys.resp"))
        print(f"{asked.keys} keys, {size / 1e6:.0f} MB as commands", flush=True)
        for title, rows in ways(os.path.abspath(asked.tool), folder, *servers).items():
            compare(title, rows, asked.rounds, folder, lambda: processor_seconds(servers))
    finally:
        for server in servers:
            server.stop()
        if not asked.keep:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
