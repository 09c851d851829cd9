#!/usr/bin/env python3
"""Reads archives of dumprestore, from docs/format.md alone; Python 3.11, and `zstd` for parts of that method.

reader.py ARCHIVE list | manifest | verify | cat NAME | extract FOLDER
"""
import hashlib, json, os, re, struct, subprocess, sys, zlib

METHODS, RATIOS, MAX = {"store": 0, "deflate": 8, "zstd": 93}, {"store": 1, "deflate": 1032, "zstd": 32768}, 0xFFFFFFFF


def refuse(why):
    sys.exit(f"reader.py: {why}")


def check_name(node, part):
    full = node.replace(".", "/") + "/" + part
    bad = "/" in node or any(re.match("[A-Za-z]:", name) for name in (node, part))
    bad = bad or any(c in ("", ".", "..") for c in node.split(".") + part.split("/"))
    if bad or re.search(r"[\\\x00-\x1f\x7f-\x9f]", full) or len(full.encode()) > 65535:
        refuse(f"unsafe name {full!r}")
    return full


class Archive:
    def __init__(self, path):
        self.file = open(path, "rb")
        self.size = os.path.getsize(path)
        end = self.at(max(self.size - 100, 0), 100)
        comment = re.fullmatch(rb"dumprestore (\d+) ([0-9a-f]{64})", end[22:])
        if end[:4] != b"PK\5\6" or not comment or comment[1] != b"1":
            refuse("not an archive, not a complete one, or of a later version")
        count, length, offset = struct.unpack("<10xHII", end[:20])
        if MAX in (length, offset) or count == 0xFFFF:
            length, offset = struct.unpack("<40xQQ", self.at(self.size - 176, 56))
        record = self.at(offset + length - 71, 71)
        record = record[12:] if record[12:16] == b"PK\1\2" and record[-13:] == b"manifest.json" else record
        size = struct.unpack("<24xI", record[:28])[0]
        self.json = self.at(offset - size, size)
        if hashlib.sha256(self.json).hexdigest() != comment[2].decode():
            refuse("manifest.json is damaged")
        self.manifest = json.loads(self.json)
        if self.manifest["format"].split(".")[0] != "1":
            refuse("a later version of the format")
        self.parts = {check_name(n["path"], p["name"]): p for n in self.manifest["nodes"] for p in n.get("parts", [])}
        date, time = self.manifest["entry_time"].split("T")
        (y, m, d), (hour, minute, second) = map(int, date.split("-")), map(int, time.split(":"))
        self.time = struct.pack("<HH", hour << 11 | minute << 5 | second // 2, y - 1980 << 9 | m << 5 | d)

    def at(self, offset, length):
        self.file.seek(offset)
        return self.file.read(length)

    def local(self, name, part):
        late, size, stored = part.get("descriptor", False), part["size"], part["stored"]
        method, wide = METHODS[part["method"]], late or max(size, stored) >= MAX
        crc, sizes = (0, (0, 0)) if late else (int(part["crc32"], 16), (size, stored))
        head = struct.pack("<4sHHH", b"PK\3\4", 63 if method == 93 else 45 if wide else 20, 2048 | late << 3, method)
        head += self.time + struct.pack("<III", crc, *((MAX, MAX) if wide else sizes[::-1]))
        head += struct.pack("<HH", len(name.encode()), 20 * wide) + name.encode()
        return head + (struct.pack("<HHQQ", 1, 16, *sizes) if wide else b"")

    def content(self, name):
        part = self.parts[name]
        if part.get("content", {"in": "archive"})["in"] != "archive":
            refuse(f"{name}: lies elsewhere")
        local = self.local(name, part)
        if self.at(part["offset"], len(local)) != local or part["size"] > part["stored"] * RATIOS[part["method"]]:
            refuse(f"{name}: its header is damaged, or its size a lie")
        bytes = self.at(part["offset"] + len(local), part["stored"])
        if part["method"] == "deflate":
            bytes = zlib.decompressobj(-15).decompress(bytes, part["size"] + 1)
        elif part["method"] == "zstd":
            bytes = subprocess.run(["zstd", "-dc"], input=bytes, stdout=subprocess.PIPE, check=True).stdout
        proof = len(bytes), hashlib.sha256(bytes).hexdigest(), f"{zlib.crc32(bytes):08x}"
        return bytes if proof == (part["size"], part["sha256"], part["crc32"]) else refuse(f"{name}: damaged")

    def verify(self):
        digest, preceding = hashlib.sha256(), self.manifest["preceding"]
        for offset in range(0, preceding["bytes"], 1 << 20):
            digest.update(self.at(offset, min(preceding["bytes"] - offset, 1 << 20)))
        if digest.hexdigest() != preceding["sha256"]:
            refuse("the bytes before manifest.json are damaged")
        return sum(len(self.content(name)) for name in self.parts)


archive, command, argument = Archive(sys.argv[1]), sys.argv[2], (sys.argv + [""])[3]
if command == "manifest":
    sys.stdout.buffer.write(archive.json)
elif command == "verify":
    print(f"{len(archive.parts)} parts, {archive.verify()} bytes")
elif command == "cat":
    sys.stdout.buffer.write(archive.content(argument))
for name in archive.parts if command in ("list", "extract") else ():
    if command == "list":
        print(archive.parts[name]["size"], name)
    else:
        os.makedirs(os.path.join(argument, os.path.dirname(name)), exist_ok=True)
        with open(os.path.join(argument, name), "xb") as file:
            file.write(archive.content(name))
