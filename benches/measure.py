"""Shell commands measured beside each other: wall time, processor time, peak memory, what they wrote."""

import multiprocessing
import os
import statistics
import subprocess
import sys
import time


def run(command, folder):
    """Wall seconds, processor seconds and peak memory in MB of a shell command."""
    begun = time.monotonic()
    command = ["bash", "-ec", "set -o pipefail; " + command]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    told = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - begun
    if status != 0:
        sys.exit(f"failed: {command[-1]}\n{told.decode(errors='replace')}")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def apart(work, *arguments):
    process = multiprocessing.Process(target=work, args=arguments)
    process.start()
    process.join()
    if process.exitcode != 0:
        sys.exit("the data could not be made")


class Way:
    def __init__(self, name, command, before="", output=None, peer=None):
        self.name, self.command, self.before, self.output, self.peer = name, command, before, output, peer
        self.walls, self.client, self.server, self.memory = [], [], [], 0

    def go(self, folder, server=None):
        """`server`: tells how many processor seconds a server has used so far."""
        subprocess.run(["bash", "-ec", self.before + "\nsync"], cwd=folder, check=True)
        before = server() if server else 0
        wall, processor, memory = run(self.command, folder)
        self.walls.append(wall)
        self.client.append(processor)
        self.server.append(server() - before if server else 0)
        self.memory = max(self.memory, memory)

    def median(self):
        return statistics.median(self.walls)


def compare(title, rows, rounds, folder, server=None):
    """Rounds are interleaved, so that a slow minute of the machine strikes all alike."""
    for _ in range(rounds):
        for way in rows:
            way.go(folder, server)
    report(title, rows, folder)
    if server:
        report_processors(rows)


def report(title, rows, folder):
    print(f"\n{title}\n\n| way | wall s (all rounds) | × first | peak MB | wrote MB |\n|---|---|---|---|---|")
    first = rows[0].median()
    for way in rows:
        every = " ".join(f"{wall:.2f}" for wall in way.walls)
        wrote = f"{os.path.getsize(os.path.join(folder, way.output)) / 1e6:.0f}" if way.output else ""
        print(f"| {way.name} | {way.median():.2f} ({every}) | {way.median() / first:.2f} | {way.memory:.0f} | {wrote} |")


def report_processors(rows):
    print("\n| way | processor s: client | server |\n|---|---|---|")
    for way in rows:
        print(f"| {way.name} | {statistics.median(way.client):.2f} | {statistics.median(way.server):.2f} |", flush=True)
