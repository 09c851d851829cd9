#!/usr/bin/env python3
"""dumprestore beside the scripts that people write, and beside borgmatic: PostgreSQL, MariaDB, Redis and a folder of media, in
one run, on servers that this starts.

usage: whole_stack.py DUMPRESTORE [--scale N] [--rounds N] [--borgmatic PROGRAM] [--folder DIR] [--keep]

A scale of 1 is about 1.6 GB in all. Prints what `measure.py` prints; nothing is asserted. What the scripts leave out
(one moment for all sources, checks, a way back) is not made up for.
"""

import argparse
import os
import shutil
import subprocess
import tempfile

import mysql
import postgres
import redis
from measure import Way, apart, compare
from side_by_side import make_files

# Of version 2.
BORGMATIC = """
source_directories: [{folder}/media]
repositories:
  - path: {folder}/borg
compression: zstd,1
unknown_unencrypted_repo_access_is_ok: true
relocated_repo_access_is_ok: true
user_state_directory: {folder}/borgmatic-state
user_runtime_directory: {folder}/borgmatic-runtime
commands:
  - before: action
    when: [create]
    run: ["{redis} --rdb {folder}/media/borg.rdb > /dev/null 2>&1"]
postgresql_databases:
  - name: shop
    username: postgres
    format: custom
mysql_databases:
  - name: shop
    username: root
    options: "--socket={mysql_socket}"
    list_options: "--socket={mysql_socket}"
    restore_options: "--socket={mysql_socket}"
"""


class Stack:
    """The servers, and what the commands call them."""

    def __init__(self, folder, asked):
        self.folder = folder
        os.chmod(folder, 0o755)
        for name in ("postgres", "mariadb"):
            os.mkdir(os.path.join(folder, name))
        self.servers = []
        self.postgres = self.started(postgres.Server, asked.bin, os.path.join(folder, "postgres"))
        self.mariadb = self.started(mysql.Server, os.path.join(folder, "mariadb"))
        self.lively = self.started(redis.Server, folder, "lively", redis.PROGRAMS, "--save", "", "--repl-diskless-sync-delay", "0")
        self.fresh = self.started(redis.Server, folder, "fresh", redis.PROGRAMS, "--save", "")

    def started(self, start, *arguments):
        self.servers.append(start(*arguments))
        return self.servers[-1]

    def fill(self, scale):
        self.postgres.sql("postgres", "CREATE DATABASE shop TEMPLATE template0")
        self.postgres.sql("shop", postgres.DATA % {"unit": int(400 * scale)})
        self.mariadb.sql("", "CREATE DATABASE shop CHARACTER SET utf8mb4")
        per_megabyte = {"customers": 330, "products": 110, "orders": 1000, "items": 2900, "logs": 1150}
        self.mariadb.sql("shop", mysql.DATA % {name: int(350 * scale) * of_one for name, of_one in per_megabyte.items()})
        self.lively.fill(int(600_000 * scale))
        apart(make_files, os.path.join(self.folder, "media"), int(14_000 * scale), int(700 * scale))

    def stop(self):
        for server in reversed(self.servers):
            server.stop()


def configure(stack):
    for mode in ("deflate", "zstd"):
        for name, database, cache, media in (("", "shop", stack.lively, "media"), ("-fresh", "fresh", stack.fresh, "out")):
            with open(os.path.join(stack.folder, f"{mode}{name}.yaml"), "w") as file:
                file.write(f"""version: 1
name: shop
compression: {mode}
set:
  - {{ name: db, driver: postgres, url: "postgresql:///{database}?host={stack.postgres.data}&user=postgres" }}
  - {{ name: crm, driver: mysql, url: "mysql://root@localhost/{database}?socket={stack.mariadb.socket}" }}
  - {{ name: sessions, driver: redis, url: "redis+unix://{cache.socket}" }}
  - {{ name: media, driver: filesystem, path: {media} }}
""")


def two_at_once(commands):
    quoted = " ".join("'" + command.replace("'", "'\\''") + "'" for command in commands)
    return f"printf '%s\\0' {quoted} | xargs -0 -P2 -I% bash -o pipefail -ec %"


def dumps(tool, stack):
    pg_dump = f"{stack.postgres.bin}/pg_dump -h {stack.postgres.data} -U postgres"
    mariadb_dump = f"mariadb-dump --no-defaults -u root -S {stack.mariadb.socket} --single-transaction --routines --events --triggers shop"
    rdb = f"{stack.lively.client} --rdb"
    ours = lambda mode: Way(f"dumprestore {mode}", f"{tool} -q dump -c {mode}.yaml -o {mode}.zip", f"rm -f {mode}.zip", f"{mode}.zip")
    # The longest first, so that neither job waits for the other at the end.
    quick = [f"tar -c media | zstd -1 -q > media.tar.zst", f"{pg_dump} shop | zstd -1 -q > db.sql.zst",
             f"{mariadb_dump} | zstd -1 -q > crm.sql.zst", f"{rdb} - | zstd -1 -q > sessions.rdb.zst"]
    usual = [f"{pg_dump} -Fc shop > db.custom", f"{mariadb_dump} | gzip > crm.sql.gz", f"{rdb} sessions.rdb", "tar -czf media.tar.gz media"]
    return [
        Way("script, zstd, two jobs", two_at_once(quick), "rm -f *.zst"),
        Way("script, as people write it", " && ".join(usual), "rm -f db.custom crm.sql.gz sessions.rdb media.tar.gz"),
        ours("zstd"), ours("deflate"),
    ]


def restores(tool, stack):
    psql, pg_restore = f"psql -h {stack.postgres.data} -U postgres -q", f"{stack.postgres.bin}/pg_restore -h {stack.postgres.data} -U postgres"
    maria, cache = stack.mariadb.client, stack.fresh
    gone = (f"rm -rf out\n{psql} -c 'DROP DATABASE IF EXISTS fresh' postgres 2> /dev/null\n{maria} -e 'DROP DATABASE IF EXISTS fresh'\n"
            f"{cache.client} flushall > /dev/null\n{psql} -c CHECKPOINT postgres")
    anew = (f"{gone}\nmkdir out\n{psql} -c 'CREATE DATABASE fresh TEMPLATE template0' postgres\n"
            f"{maria} -e 'CREATE DATABASE fresh'")
    # What a restart loads; `DEBUG RELOAD NOSAVE` is a restart without the wait for the process.
    load = f"{cache.client} config set dir {cache.data} && {cache.client} config set dbfilename dump.rdb && {cache.client} debug reload nosave noflush"
    ours = lambda mode: Way(f"dumprestore {mode}", f"{tool} -q restore {mode}.zip --yes -c {mode}-fresh.yaml", gone)
    quick = ["tar -C out -xf media.tar.zst --zstd", f"zstd -dcq db.sql.zst | {psql} -o /dev/null fresh", f"zstd -dcq crm.sql.zst | {maria} fresh",
             f"zstd -dqf sessions.rdb.zst -o {cache.data}/dump.rdb && {load}"]
    usual = [f"{pg_restore} -d fresh db.custom", f"zcat crm.sql.gz | {maria} fresh", f"cp sessions.rdb {cache.data}/dump.rdb && {load}",
             "tar -C out -xzf media.tar.gz"]
    return [
        Way("script, zstd, two jobs, then `sync`", two_at_once(quick) + " && sync", anew),
        Way("script, as people write it, then `sync`", " && ".join(usual) + " && sync", anew),
        ours("zstd"), ours("deflate"),
        Way("dumprestore zstd, over what was there", f"{tool} -q restore zstd.zip --yes -c zstd-fresh.yaml"),
    ]


def borgmatic(program, stack, dump, restore):
    """Its restore goes into the databases that it dumped: it is asked to put them back where they are."""
    path = os.path.join(stack.folder, "borgmatic.yaml")
    with open(path, "w") as file:
        file.write(BORGMATIC.format(folder=stack.folder, redis=stack.lively.client,
                                    mysql_socket=stack.mariadb.socket))
    call = f"PGHOST={stack.postgres.data} HOME={stack.folder} BORG_BASE_DIR={stack.folder} {program} -c {path} --verbosity 1 --log-file {stack.folder}/borgmatic.log"
    dump.append(Way("borgmatic, zstd,1", f"{call} create", f"rm -rf borg .cache .config; {call} repo-create --encryption none"))
    restore.append(Way("borgmatic, then `sync`", f"{call} restore --archive latest && {call} extract --archive latest --destination out && sync",
                       "rm -rf out; mkdir out"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tool")
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bin", default=postgres.newest_bin(), help="the folder of PostgreSQL's programs")
    parser.add_argument("--borgmatic", default=shutil.which("borgmatic"), help="left out where it is not there")
    parser.add_argument("--folder", default=None)
    parser.add_argument("--keep", action="store_true", help="leave the data behind, to look at")
    asked = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="dumprestore-bench-", dir=asked.folder)
    stack = None
    try:
        stack = Stack(folder, asked)
        stack.fill(asked.scale)
        sizes = subprocess.check_output(["du", "-sm", "media", "postgres", "mariadb"], cwd=folder, text=True).split()
        used = int(stack.lively.memory())
        print(f"media {sizes[0]} MB, PostgreSQL's folder {sizes[2]} MB, MariaDB's {sizes[4]} MB, Redis' memory {used >> 20} MB", flush=True)
        configure(stack)
        tool = os.path.abspath(asked.tool)
        dump, restore = dumps(tool, stack), restores(tool, stack)
        if asked.borgmatic:
            borgmatic(asked.borgmatic, stack, dump, restore)
        compare("dump", dump, asked.rounds, folder)
        compare("restore", restore, asked.rounds, folder)
    finally:
        if stack:
            stack.stop()
        if not asked.keep:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
