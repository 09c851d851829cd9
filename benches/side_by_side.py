#!/usr/bin/env python3
"""dumprestore beside tar, zip, unzip and sqlite3, in one run, on the same data.

usage: side_by_side.py DUMPRESTORE [--files N] [--megabytes N] [--database-megabytes N] [--rounds N] [--folder DIR] [--keep]

Prints the median wall time of each way, its ratio to the peer that it is measured against, the peak memory of its
largest process, and the size of what it wrote. Rounds are interleaved, so that a slow minute of the machine strikes
all alike. Nothing is asserted. Page caches are warm; `sync` runs between rounds, outside the clock.
"""

import argparse
import os
import random
import shutil
import sqlite3
import tempfile

from measure import Way, apart, compare


def make_files(root, count, megabytes):
    """Half of the bytes compress (text), half do not (random), in files of very different sizes."""
    rng = random.Random(1)
    words = [bytes(rng.choices(range(97, 123), k=rng.randint(2, 9))) for _ in range(4000)]
    mean = megabytes * 1_000_000 // count
    for number in range(count):
        folder = os.path.join(root, f"{number % 100:02}")
        os.makedirs(folder, exist_ok=True)
        size = max(16, int(rng.expovariate(1 / mean)))
        if number % 2:
            body = rng.randbytes(size)
        else:
            body = b" ".join(rng.choices(words, k=size // 6 + 1))[:size]
        with open(os.path.join(folder, f"{number}.{'jpg' if number % 2 else 'txt'}"), "wb") as file:
            file.write(body)


def make_database(path, megabytes):
    rng = random.Random(2)
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = OFF")
    db.execute("CREATE TABLE entry (id INTEGER PRIMARY KEY, name TEXT, note TEXT, digest BLOB, price REAL)")
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(3, 9))) for _ in range(3000)]
    while os.path.getsize(path) < megabytes * 1_000_000:
        rows = [
            (" ".join(rng.choices(words, k=3)), " ".join(rng.choices(words, k=40)), rng.randbytes(32), rng.random())
            for _ in range(20_000)
        ]
        db.executemany("INSERT INTO entry (name, note, digest, price) VALUES (?, ?, ?, ?)", rows)
        db.commit()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.execute("CREATE INDEX entry_name ON entry (name)")
    db.commit()
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def config(compression, path, driver, name):
    return f"version: 1\nname: {name}\ncompression: {compression}\nset:\n  - {{ name: data, driver: {driver}, path: {path} }}\n"


def ways(tool, folder):
    for compression in ("deflate", "zstd"):
        for name, driver, path in (("files", "filesystem", "files"), ("database", "sqlite", "bench.db")):
            with open(os.path.join(folder, f"{name}-{compression}.yaml"), "w") as file:
                file.write(config(compression, path, driver, name))
    d = f"{tool} -q"
    ours = lambda what, mode: Way(f"dumprestore {mode}", f"{d} dump -c {what}-{mode}.yaml -o {what}-{mode}.zip",
                                  f"rm -f {what}-{mode}.zip", f"{what}-{mode}.zip")
    back = lambda what, mode: Way(f"dumprestore {mode}", f"{d} restore {what}-{mode}.zip --yes -c {what}-{mode}.yaml")
    fresh = lambda what, mode, path: Way(f"dumprestore {mode}, nothing there",
                                         f"{d} restore {what}-{mode}.zip --yes -c {what}-{mode}.yaml --map data=$PWD/out/{path}",
                                         "rm -rf out; mkdir out")
    into = "rm -rf out; mkdir out"
    return {
        "dump of the files": [
            Way("tar | zstd -1", "tar -c files | zstd -1 -q > files.tar.zst", output="files.tar.zst"),
            Way("tar | zstd -1 -T2", "tar -c files | zstd -1 -T2 -q > files2.tar.zst", output="files2.tar.zst"),
            Way("tar | gzip", "tar -c files | gzip > files.tar.gz", output="files.tar.gz"),
            Way("zip -r -1", "zip -q -r -1 files.zip files", "rm -f files.zip", "files.zip"),
            ours("files", "zstd"), ours("files", "deflate"),
        ],
        "dump of the database": [
            Way(".backup | zstd -1", "sqlite3 bench.db '.backup copy.db' && zstd -1 -q -f copy.db -o copy.db.zst",
                "rm -f copy.db copy.db.zst", "copy.db.zst"),
            ours("database", "zstd"), ours("database", "deflate"),
        ],
        "restore of the files": [
            Way("untar of zstd", "zstd -dc -q files.tar.zst | tar -x -C out", into),
            Way("untar of zstd, synced", "zstd -dc -q files.tar.zst | tar -x -C out; sync -f out", into),
            Way("unzip", "unzip -q files.zip -d out", into),
            fresh("files", "zstd", "files"), fresh("files", "deflate", "files"),
            back("files", "zstd"),
        ],
        "restore of the database": [
            Way("zstd -d", "zstd -dc -q copy.db.zst > out/bench.db", into),
            Way("zstd -d, synced", "zstd -dc -q copy.db.zst > out/bench.db; sync -f out", into),
            fresh("database", "zstd", "bench.db"), back("database", "zstd"),
        ],
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tool")
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--database-megabytes", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", default=None)
    parser.add_argument("--keep", action="store_true", help="leave the data behind, to look at")
    asked = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="dumprestore-bench-", dir=asked.folder)
    try:
        # In processes of their own: what this one has held in memory would count as its children's peak.
        apart(make_files, os.path.join(folder, "files"), asked.files, asked.megabytes)
        apart(make_database, os.path.join(folder, "bench.db"), asked.database_megabytes)
        for title, rows in ways(os.path.abspath(asked.tool), folder).items():
            compare(title, rows, asked.rounds, folder)
    finally:
        if not asked.keep:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
