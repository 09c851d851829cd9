#!/usr/bin/env python3
"""dumprestore beside mariadb-dump, the mariadb client, mydumper and myloader, in one run, on a server that this starts.

usage: mysql.py DUMPRESTORE [--megabytes N] [--rounds N] [--keep]

The server runs in a temporary folder, as the user `nobody` if this is root. Its settings are MariaDB's own, but for the
socket. Prints what `measure.py` prints; nothing is asserted.
"""

import argparse
import os
import shutil
import subprocess
import tempfile
import time

from measure import Way, compare

# About 1 MB of rows and indexes for each unit: a shop with a log that holds a third of all.
DATA = """
SET NAMES utf8mb4;
CREATE TABLE customer (id bigint PRIMARY KEY AUTO_INCREMENT, name varchar(80) NOT NULL, email varchar(120), born date,
  city varchar(60), notes text, UNIQUE KEY (email), KEY (name), KEY (city, born)) DEFAULT CHARSET utf8mb4;
CREATE TABLE product (id int PRIMARY KEY AUTO_INCREMENT, sku varchar(40), title varchar(120), body text, price decimal(10,2),
  picture mediumblob, UNIQUE KEY (sku), KEY (price)) DEFAULT CHARSET utf8mb4;
CREATE TABLE orders (id bigint PRIMARY KEY AUTO_INCREMENT, customer bigint, at datetime(3), state enum('new','paid','sent'),
  total decimal(12,2), KEY (at), KEY (state, at), FOREIGN KEY (customer) REFERENCES customer (id));
CREATE TABLE item (orders bigint, position int, product int, amount int, price decimal(10,2), PRIMARY KEY (orders, position),
  KEY (product), FOREIGN KEY (orders) REFERENCES orders (id));
CREATE TABLE log (id bigint PRIMARY KEY AUTO_INCREMENT, at timestamp(6), kind varchar(20), payload json, digest binary(32),
  KEY (kind, at), KEY (at)) DEFAULT CHARSET utf8mb4;
SET unique_checks = 0, foreign_key_checks = 0;
INSERT INTO customer (name, email, born, city, notes)
  SELECT CONCAT('Zoë Kunde ', seq), CONCAT('c', seq, '@example.org'), DATE '1950-01-01' + INTERVAL seq %% 20000 DAY,
    CONCAT('Città ', seq %% 3000), CONCAT('größer als ', MD5(seq), ' 漢字 ', REPEAT('ça va ', seq %% 20))
  FROM seq_1_to_%(customers)d;
INSERT INTO product (sku, title, body, price, picture)
  SELECT CONCAT('SKU-', seq), CONCAT('Product ', MD5(seq)), REPEAT(CONCAT('lorem ipsum dolor ', seq, ' '), 20), seq %% 9000 / 7,
    RANDOM_BYTES(1 + seq * 61 %% 1024) FROM seq_1_to_%(products)d;
INSERT INTO orders (customer, at, state, total)
  SELECT 1 + seq * 7919 %% %(customers)d, TIMESTAMP '2020-01-01 00:00:00' + INTERVAL seq * 13 SECOND, 1 + seq %% 3, seq %% 7777 / 3
  FROM seq_1_to_%(orders)d;
INSERT INTO item SELECT 1 + seq DIV 3, seq %% 3, 1 + seq * 31 %% %(products)d, seq %% 9, seq %% 777 / 3 FROM seq_0_to_%(items)d;
INSERT INTO log (at, kind, payload, digest)
  SELECT TIMESTAMP '2021-01-01 00:00:00' + INTERVAL seq SECOND, CONCAT('kind', seq %% 40),
    JSON_OBJECT('path', CONCAT('/p/', MD5(seq)), 'agent', REPEAT('Agent ', 6), 'n', seq), UNHEX(SHA2(seq, 256))
  FROM seq_1_to_%(logs)d;
ANALYZE TABLE customer, product, orders, item, log;
"""


class Server:
    def __init__(self, folder):
        self.folder = folder
        self.data = os.path.join(folder, "server")
        os.makedirs(self.data)
        as_nobody = []
        if os.getuid() == 0:
            shutil.chown(self.data, "nobody")
            as_nobody = ["--user=nobody"]
        os.chmod(folder, 0o755)
        self.socket = os.path.join(self.data, "socket")
        place = ["--no-defaults", f"--datadir={self.data}/data", *as_nobody]
        install = ["mariadb-install-db", *place, "--auth-root-authentication-method=normal", "--skip-test-db"]
        subprocess.run(install, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        log = open(os.path.join(folder, "server.log"), "w")
        daemon = shutil.which("mariadbd") or "/usr/sbin/mariadbd"
        options = [f"--socket={self.socket}", f"--pid-file={self.data}/pid", "--skip-networking"]
        self.process = subprocess.Popen([daemon, *place, *options], stdout=log, stderr=log)
        self.client = f"mariadb --no-defaults -u root -S {self.socket}"
        for _ in range(300):
            if subprocess.run(f"{self.client} -e ''", shell=True, stderr=subprocess.DEVNULL).returncode == 0:
                return
            time.sleep(0.1)
        raise SystemExit("the server does not come up")

    def sql(self, database, text):
        subprocess.run(f"{self.client} {database}", shell=True, input=text.encode(), check=True, stdout=subprocess.DEVNULL)

    def processor_seconds(self):
        """What all its threads have used so far."""
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.kill()
        self.process.wait()


def ways(tool, server):
    for mode in ("deflate", "zstd"):
        for name, database in (("", "shop"), ("-fresh", "fresh")):
            with open(os.path.join(server.folder, f"{mode}{name}.yaml"), "w") as file:
                file.write(f"version: 1\nname: shop\ncompression: {mode}\nset:\n  - name: db\n    driver: mysql\n"
                           f"    url: \"mysql://root@localhost/{database}?socket={server.socket}\"\n")
    login = f"-u root -S {server.socket}"
    d, client = f"{tool} -q", server.client
    dump = f"mariadb-dump --no-defaults {login} --single-transaction --routines --events --triggers shop"
    mydumper = f"mydumper {login} -t 2 --trx-consistency-only -G -E -R -B shop"
    ours = lambda mode: Way(f"dumprestore {mode}", f"{d} dump -c {mode}.yaml -o {mode}.zip", f"rm -f {mode}.zip", f"{mode}.zip")
    # So that no one pays for the pages that the one before has left behind.
    settled = f"{client} -e 'SET GLOBAL innodb_max_dirty_pages_pct_lwm = 0.001, innodb_max_dirty_pages_pct = 0'; sleep 2; " \
              f"{client} -e 'SET GLOBAL innodb_max_dirty_pages_pct = DEFAULT, innodb_max_dirty_pages_pct_lwm = DEFAULT'"
    gone = f"{client} -e 'DROP DATABASE IF EXISTS fresh'\n{settled}"
    anew = f"{client} -e 'DROP DATABASE IF EXISTS fresh; CREATE DATABASE fresh'\n{settled}"
    return {
        "dump": [
            Way("mariadb-dump \\| zstd -1", f"{dump} | zstd -1 -q > shop.sql.zst", "rm -f shop.sql.zst", "shop.sql.zst"),
            Way("mariadb-dump \\| gzip", f"{dump} | gzip > shop.sql.gz", "rm -f shop.sql.gz", "shop.sql.gz"),
            Way("mydumper -t2", f"{mydumper} -o shop.dir", "rm -rf shop.dir"),
            Way("mydumper -t2 -c", f"{mydumper} -c -o shop.c", "rm -rf shop.c"),
            ours("zstd"), ours("deflate"),
        ],
        "restore": [
            Way("zstd -dc \\| mariadb", f"zstd -dcq shop.sql.zst | {client} fresh", anew),
            Way("myloader -t2", f"myloader {login} -t 2 -B fresh -d shop.dir", anew),
            Way("dumprestore zstd, nothing there", f"{d} restore zstd.zip --yes -c zstd-fresh.yaml", gone),
            Way("dumprestore deflate, nothing there", f"{d} restore deflate.zip --yes -c deflate-fresh.yaml", gone),
            Way("dumprestore zstd, swapped", f"{d} restore zstd.zip --yes -c zstd.yaml", settled),
        ],
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tool")
    parser.add_argument("--megabytes", type=int, default=400, help="about that much of rows and indexes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", default=None)
    parser.add_argument("--only", choices=["dump", "restore"], help="`restore` dumps first, once each")
    parser.add_argument("--keep", action="store_true", help="leave the data behind, to look at")
    asked = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="dumprestore-bench-", dir=asked.folder)
    server = Server(folder)
    try:
        server.sql("", "CREATE DATABASE shop CHARACTER SET utf8mb4")
        per_megabyte = {"customers": 330, "products": 110, "orders": 1000, "items": 2900, "logs": 1150}
        server.sql("shop", DATA % {name: asked.megabytes * of_one for name, of_one in per_megabyte.items()})
        size = subprocess.check_output(f"{server.client} -N -e \"SELECT ROUND(SUM(data_length + index_length) / 1e6) "
                                       "FROM information_schema.tables WHERE table_schema = 'shop'\"", shell=True, text=True)
        print(f"the database: {size.strip()} MB of rows and indexes", flush=True)
        for title, rows in ways(os.path.abspath(asked.tool), server).items():
            if asked.only == title or asked.only is None:
                compare(title, rows, asked.rounds, folder, server.processor_seconds)
            elif asked.only == "restore":
                for way in rows:
                    way.go(folder)
    finally:
        server.stop()
        if not asked.keep:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
