#!/usr/bin/env python3
"""dumprestore beside pg_dump and pg_restore, in one run, on the same database of a server that this starts.

usage: postgres.py DUMPRESTORE [--megabytes N] [--rounds N] [--bin DIR] [--keep]

The server runs in a temporary folder, as the user `nobody` if this is root. Its settings are PostgreSQL's own, but for
the socket. Prints what `measure.py` prints; nothing is asserted.
"""

import argparse
import glob
import os
import pwd
import shutil
import subprocess
import tempfile

from measure import Way, compare

# About 1 MB of heap and indexes for each unit: one table holds half of all, as they do.
DATA = """
SET synchronous_commit = off;
CREATE TABLE customer (id bigserial PRIMARY KEY, name text NOT NULL, email text UNIQUE, born date, notes jsonb);
CREATE TABLE product (id serial PRIMARY KEY, sku text UNIQUE, title text, body text, price numeric(10,2));
CREATE TABLE orders (id bigserial PRIMARY KEY, customer bigint REFERENCES customer, at timestamptz, state text);
CREATE TABLE line (orders bigint REFERENCES orders, position int, product int REFERENCES product, amount int,
                   price numeric(10,2), PRIMARY KEY (orders, position));
CREATE TABLE event (id bigserial PRIMARY KEY, at timestamptz, kind text, payload jsonb, digest bytea);
INSERT INTO customer (name, email, born, notes)
  SELECT 'Customer ' || i, 'c' || i || '@example.org', date '1950-01-01' + (i %% 20000),
         jsonb_build_object('tags', array[md5(i::text), 'x'], 'score', i %% 100) FROM generate_series(1, %(unit)d * 450) i;
INSERT INTO product (sku, title, body, price)
  SELECT 'SKU-' || i, 'Product ' || md5(i::text), repeat('lorem ipsum dolor ' || i || ' ', 20), (i %% 9000) / 7.0
  FROM generate_series(1, %(unit)d * 150) i;
INSERT INTO orders (customer, at, state)
  SELECT 1 + (i::bigint * 7919) %% (%(unit)d * 450), timestamptz '2020-01-01' + i * interval '13 seconds',
         (array['new', 'paid', 'sent'])[1 + i %% 3] FROM generate_series(1, %(unit)d * 900) i;
INSERT INTO line SELECT 1 + i / 3, i %% 3, 1 + (i * 31) %% (%(unit)d * 150), i %% 9, (i %% 777) / 3.0
  FROM generate_series(0, %(unit)d * 2600) i;
INSERT INTO event (at, kind, payload, digest)
  SELECT timestamptz '2021-01-01' + i * interval '1 second', 'kind' || i %% 40,
         jsonb_build_object('path', '/p/' || md5(i::text), 'agent', repeat('Agent ', 6), 'n', i), sha256(i::text::bytea)
  FROM generate_series(1, %(unit)d * 1700) i;
CREATE INDEX ON orders (customer);
CREATE INDEX ON orders (at);
CREATE INDEX ON line (product);
CREATE INDEX ON event (kind, at);
CREATE INDEX ON event USING gin (payload jsonb_path_ops);
VACUUM ANALYZE;
"""


class Server:
    def __init__(self, bin_folder, folder):
        self.bin, self.folder = bin_folder, folder
        self.data = os.path.join(folder, "server")
        os.makedirs(self.data)
        self.user = {}
        if os.getuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self.data, nobody.pw_uid, nobody.pw_gid)
            self.user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        os.chmod(folder, 0o755)
        self.call("initdb", "-D", self.data + "/data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")
        options = f"-c listen_addresses= -c unix_socket_directories={self.data}"
        self.call("pg_ctl", "-D", self.data + "/data", "-w", "-o", options, "-l", self.data + "/log", "start")

    def call(self, program, *arguments):
        quiet = subprocess.DEVNULL
        subprocess.run([os.path.join(self.bin, program), *arguments], check=True, cwd=self.data, stdout=quiet, **self.user)

    def sql(self, database, text):
        command = ["psql", "-h", self.data, "-U", "postgres", "-q", "-v", "ON_ERROR_STOP=1", database]
        subprocess.run(command, input=text.encode(), check=True, stdout=subprocess.DEVNULL)

    def stop(self):
        self.call("pg_ctl", "-D", self.data + "/data", "-m", "immediate", "stop")


def ways(tool, server, folder):
    base = f"postgresql:///{{}}?host={server.data}&user=postgres"
    for mode in ("deflate", "zstd"):
        for name, database in (("", "shop"), ("-fresh", "fresh")):
            with open(os.path.join(folder, f"{mode}{name}.yaml"), "w") as file:
                file.write(f"version: 1\nname: shop\ncompression: {mode}\nset:\n"
                           f"  - {{ name: db, driver: postgres, url: \"{base.format(database)}\" }}\n")
    pg = f"-h {server.data} -U postgres"
    d, dump, restore = f"{tool} -q", f"{server.bin}/pg_dump {pg}", f"{server.bin}/pg_restore {pg}"
    ours = lambda mode: Way(f"dumprestore {mode}", f"{d} dump -c {mode}.yaml -o {mode}.zip", f"rm -f {mode}.zip", f"{mode}.zip")
    nowhere = " && ".join(f"psql {pg} -c 'COPY {table} TO STDOUT' shop > /dev/null"
                          for table in ("customer", "product", "orders", "line", "event"))
    settled = f"psql {pg} -q -c CHECKPOINT postgres"
    gone = f"psql {pg} -q -c 'DROP DATABASE IF EXISTS fresh' postgres 2> /dev/null\n{settled}"
    anew = f"{gone}\npsql {pg} -q -c 'CREATE DATABASE fresh TEMPLATE template0' postgres\n{settled}"
    return {
        "dump": [
            Way("pg_dump -Fp | zstd -1", f"{dump} shop | zstd -1 -q > shop.sql.zst", "rm -f shop.sql.zst", "shop.sql.zst"),
            Way("pg_dump -Fc", f"{dump} -Fc shop > shop.custom", "rm -f shop.custom", "shop.custom"),
            Way("pg_dump -Fc -Z1", f"{dump} -Fc -Z1 shop > shop1.custom", "rm -f shop1.custom", "shop1.custom"),
            Way("pg_dump -Fd -j2", f"{dump} -Fd -j2 -f shop.dir shop", "rm -rf shop.dir"),
            Way("COPY of every table to nowhere", nowhere),
            ours("zstd"), ours("deflate"),
        ],
        "restore": [
            Way("pg_restore -j2", f"{restore} -j2 -d fresh shop.dir", anew),
            Way("pg_restore -j2, then ANALYZE", f"{restore} -j2 -d fresh shop.dir && psql {pg} -q -c ANALYZE fresh", anew),
            Way("psql of zstd", f"zstd -dcq shop.sql.zst | psql {pg} -q -o /dev/null fresh", anew),
            Way("dumprestore zstd, nothing there", f"{d} restore zstd.zip --yes -c zstd-fresh.yaml", gone),
            Way("dumprestore deflate, nothing there", f"{d} restore deflate.zip --yes -c deflate-fresh.yaml", gone),
            Way("dumprestore zstd, swapped", f"{d} restore zstd.zip --yes -c zstd.yaml", settled),
        ],
    }


def newest_bin():
    found = glob.glob("/usr/lib/postgresql/*/bin/postgres")
    return os.path.dirname(max(found, key=lambda path: int(path.split("/")[-3]))) if found else None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tool")
    parser.add_argument("--megabytes", type=int, default=1000, help="about that much of tables and indexes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bin", default=newest_bin(), help="the folder of the server's programs")
    parser.add_argument("--folder", default=None)
    parser.add_argument("--keep", action="store_true", help="leave the data behind, to look at")
    asked = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="dumprestore-bench-", dir=asked.folder)
    server = Server(asked.bin, folder)
    try:
        server.sql("postgres", "CREATE DATABASE shop TEMPLATE template0")
        server.sql("shop", DATA % {"unit": asked.megabytes})
        size = subprocess.check_output(["psql", "-h", server.data, "-U", "postgres", "-Atc",
                                        "SELECT pg_size_pretty(pg_database_size('shop'))", "postgres"], text=True)
        print(f"the database: {size.strip()}")
        for title, rows in ways(os.path.abspath(asked.tool), server, folder).items():
            compare(title, rows, asked.rounds, folder)
    finally:
        server.stop()
        if not asked.keep:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
