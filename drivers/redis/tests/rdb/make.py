#!/usr/bin/env python3
"""Makes the files of this folder: `make.py NAME COMMAND...`, where the command starts a server, if paths to its
configuration are appended: `make.py redis-7.0 redis-server`.

It fills a server of its own with a value of every type and encoding, has it write its file (`NAME.rdb`), and notes what it
says of every key (`NAME.tsv`): database, key (hex), type, time of expiry (ms, or -1), SHA-256 of the payload of `DUMP`, how many
elements, SHA-256 of them. `#` begins a remark: what the file was made with, the functions, options."""

import hashlib
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time

EXPIRES = 4102444800123  # in 2100


class Server:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.file = self.socket.makefile("rb")

    def __call__(self, *words):
        words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        sent = b"*%d\r\n" % len(words)
        for word in words:
            sent += b"$%d\r\n%s\r\n" % (len(word), word)
        self.socket.sendall(sent)
        reply = self.reply()
        if isinstance(reply, Exception):
            raise reply
        return reply

    def reply(self):
        line = self.file.readline()[:-2]
        mark, rest = line[:1], line[1:]
        if mark == b"+":
            return rest
        if mark == b"-":
            return RuntimeError(rest.decode())
        if mark == b":":
            return int(rest)
        count = int(rest)
        if count < 0:
            return None
        if mark == b"$":
            return self.file.read(count + 2)[:-2]
        return [self.reply() for _ in range(count)]

    def knows(self, command):
        return self("COMMAND", "INFO", command)[0] is not None


def noise(count):
    return random.randbytes(count)


NUMBERS = [0, 1, 12, 127, 128, -1, 4095, -4096, 4096, 32767, -32768, 8388607, -8388608, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63)]
LENGTHS = [0, 1, 63, 64, 253, 254, 4095, 4096]


def strings(server):
    server("SET", "string:empty", "")
    for number in NUMBERS:
        server("SET", f"string:{number}", number)
    server("SET", "string:text", "it is what it is")
    server("SET", "string:repeated", b"ab" * 9000)
    server("SET", "string:sparse", b"\0" * 5000 + noise(100) + b"\0" * 5000)
    server("SET", "string:noise", noise(3000))
    server("SET", b"key:\0\xff\r\n\x80", "binary")
    server("SET", "key:" + "long" * 100, "long")
    server("SET", 12345, "a key that is a number")
    server("SETBIT", "bits", 5000, 1)
    server("PFADD", "counted", *range(2000))
    server("SET", "expires", "some day", "PX", 10**9)
    server("PEXPIREAT", "expires", EXPIRES)


def collections(server):
    packed = NUMBERS + [b"x" * length for length in LENGTHS[1:]] + [noise(30)]
    # An element whose length takes a byte more than it needs, in listpacks of Redis.
    server("RPUSH", "list:borders", b"y" * 16377, b"y" * 16378, b"y" * 16379, "end")
    server("RPUSH", "list:small", *packed)
    server("RPUSH", "list:empty-element", "")
    server("RPUSH", "list:large", *(noise(50) for _ in range(300)))
    server("SADD", "set:16", *range(-5, 100))
    server("SADD", "set:32", *range(70000, 70040))
    server("SADD", "set:64", 1, -(2**63), 2**63 - 1)
    server("SADD", "set:small", "one", "two", 3)
    server("SADD", "set:large", *(f"member {at}" for at in range(300)))
    server("SADD", "set:long", b"z" * 3000, noise(200), 17)
    for name, count in ("small", 20), ("large", 300):
        scores = ["inf", "-inf", 0, 1.5, -2.25e-7] + list(range(count - 5))
        server("ZADD", f"zset:{name}", *(word for at, score in enumerate(scores) for word in (score, f"member {at}")))
    server("GEOADD", "places", 13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania")
    server("HSET", "hash:small", *(word for at, value in enumerate(packed[:17]) for word in (f"field {at}", value)))
    server("HSET", "hash:numbers", *(word for at in range(30) for word in (at, at * at)))
    server("HSET", "hash:large", *(word for at in range(700) for word in (f"field {at}", noise(at % 20))))
    server("HSET", "hash:long", "field", noise(5000), "empty", "")
    server("PEXPIREAT", "hash:small", EXPIRES + 1)


def streams(server):
    for at in range(150):
        server("XADD", "stream:large", f"{1700000000000 + at // 3}-{at}", "name", f"value {at}", "noise", noise(20))
    for at in range(0, 150, 7):
        server("XDEL", "stream:large", f"{1700000000000 + at // 3}-{at}")
    for group in "readers", "others":
        server("XGROUP", "CREATE", "stream:large", group, "0")
    for consumer, count in ("ann", 60), ("bob", 20), ("cy", 1):
        server("XREADGROUP", "GROUP", "readers", consumer, "COUNT", count, "STREAMS", "stream:large", ">")
    server("XACK", "stream:large", "readers", "1700000000000-1", "1700000000001-3")
    server("XREADGROUP", "GROUP", "others", "dan", "COUNT", 3, "STREAMS", "stream:large", ">")
    server("XADD", "stream:trimmed", "5-1", "a", "b")
    server("XADD", "stream:trimmed", "6-0", "a", 17)
    server("XTRIM", "stream:trimmed", "MAXLEN", 1)
    server("XGROUP", "CREATE", "stream:empty", "nobody", "$", "MKSTREAM")
    server("XADD", "stream:fields", "1-1", *(word for at in range(90) for word in (f"f{at}", at)))


def newer(server):
    if server.knows("HPEXPIREAT"):
        for name, count, value in ("small", 9, "value"), ("large", 600, "v"), ("long", 3, "w" * 600):
            key = f"hash:expiring:{name}"
            server("HSET", key, *(word for at in range(count) for word in (f"field {at}", value)))
            for at in range(0, count, 2):
                server("HPEXPIREAT", key, EXPIRES + at, "FIELDS", 1, f"field {at}")
    if server.knows("FUNCTION"):
        server("FUNCTION", "LOAD", "#!lua name=first\nredis.register_function('one', function() return 1 end)")
        server("FUNCTION", "LOAD", "#!lua name=second\n" + "-- why\n" * 50 + "redis.register_function('two', function() return 2 end)")
        server("DEBUG", "QUICKLIST-PACKED-THRESHOLD", "500b")
        server("RPUSH", "list:plain", "packed", noise(600), b"p" * 2000, "packed", 17)


def elements(server, key, kind):
    found = {
        b"string": lambda: [server("GET", key)],
        b"list": lambda: server("LRANGE", key, 0, -1),
        b"set": lambda: server("SMEMBERS", key),
        b"zset": lambda: server("ZRANGE", key, 0, -1),
        b"hash": lambda: server("HGETALL", key),
        b"stream": lambda: [],
    }[kind]()
    pairs = 2 if kind == b"hash" else 1
    digest = hashlib.sha256()
    units = [b"".join(len(part).to_bytes(8, "little") + part for part in found[at : at + pairs]) for at in range(0, len(found), pairs)]
    for unit in sorted(units):
        digest.update(unit)
    return len(units), digest.hexdigest()


def note(server, key):
    kind = server("TYPE", key)
    ttl = server("PTTL", key)
    expires = ttl if ttl < 0 else {b"expires": EXPIRES, b"hash:small": EXPIRES + 1}[key]
    dumped = hashlib.sha256(server("DUMP", key)).hexdigest()
    count, digest = elements(server, key, kind)
    return f"{key.hex()}\t{kind.decode()}\t{expires}\t{dumped}\t{count}\t{digest}\n"


OPTIONS = {
    "redis-6.0": ["rdbchecksum no"],
    "redis-7.0": ["maxmemory-policy allkeys-lfu", "maxmemory 100mb"],
    "redis-8.0": [],
    "valkey-8.1": ["maxmemory-policy allkeys-lru", "maxmemory 100mb"],
    "valkey-9.1": [],
}


def main(name, command):
    random.seed(name)
    here = os.path.dirname(os.path.abspath(__file__))
    with tempfile.TemporaryDirectory() as folder:
        config = os.path.join(folder, "server.conf")
        options = OPTIONS.get(name, [])
        debug = [] if name == "redis-6.0" else ["enable-debug-command yes"]
        with open(config, "w") as file:
            lines = [f"dir {folder}", "port 0", f"unixsocket {folder}/socket", 'save ""', "list-max-ziplist-size -5", *options, *debug]
            file.write("\n".join(lines) + "\n")
        running = subprocess.Popen([*command, config], stdout=subprocess.DEVNULL)
        try:
            while not os.path.exists(f"{folder}/socket"):
                assert running.poll() is None
                time.sleep(0.05)
            server = Server(f"{folder}/socket")
            version = [line for line in server("INFO", "server").decode().splitlines() if "_version:" in line]
            listing = f"# {', '.join(version)}; {', '.join(options)}\n"
            for database, fills in (0, [strings, collections, streams, newer]), (15, [strings]):
                server("SELECT", database)
                for fill in fills:
                    fill(server)
            server("SAVE")
            for database in 0, 15:
                server("SELECT", database)
                for key in sorted(server("KEYS", "*")):
                    listing += f"{database}\t" + note(server, key)
            with open(os.path.join(here, f"{name}.tsv"), "w") as file:
                file.write(listing)
            shutil.copy(os.path.join(folder, "dump.rdb"), os.path.join(here, f"{name}.rdb"))
        finally:
            running.terminate()
            running.wait()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
