# Every routine of this workspace. `just` alone lists them.

_default:
    @just --list --unsorted

# What the README promises: installs what the tests need, and passes them.
test:
    ./scripts/test.sh

# Format, lints and tests of one package.
check package:
    cargo fmt -p {{package}}
    cargo clippy -p {{package}} --all-targets -- -D warnings
    cargo test -p {{package}}

# A small shop is made, dumped while it is written to, broken, and restored.
demo:
    cargo run --release --quiet -p dumprestore-cli -- demo

# A failure, an interrupt and a kill, of us or of a server, at every single moment of a dump and of a restore.
faults:
    DUMPRESTORE_FAULTS=all cargo test --release -p dumprestore-tests --test fault_matrix --test postgres_faults --test mysql_faults --test redis_faults --test media_faults
    DUMPRESTORE_FAULTS=all cargo test --release -p dumprestore-postgres -p dumprestore-mysql -p dumprestore-redis -p dumprestore-media --test 'conformance*'

# Dumps under a load of so many operations a second.
load rate="600":
    DUMPRESTORE_LOAD={{rate}} DUMPRESTORE_DUMPS=20 cargo test --release -p dumprestore-tests \
        --test coherence --test postgres_coherence --test mysql_coherence --test redis_coherence -- --nocapture --test-threads=1

# The archive's limits at full length, and its writer alone.
archive-limits:
    cargo test --release -p dumprestore-archive --test limits

# Side by side with tar, zip, unzip and sqlite3, in one run: 20,000 files of 1 GB, and a database of 500 MB.
bench:
    cargo build --release -p dumprestore-cli
    python3 benches/side_by_side.py target/release/dumprestore
    python3 benches/postgres.py target/release/dumprestore

# The same with MariaDB's clients, mydumper and myloader: 400 MB.
bench-mysql:
    cargo build --release -p dumprestore-cli
    python3 benches/mysql.py target/release/dumprestore

# The same with redis-cli: a million keys.
bench-redis:
    cargo build --release -p dumprestore-cli
    python3 benches/redis.py target/release/dumprestore

# A dump of Redis under writers, compared key by key with what the server held then, and the memory of a restore with a large value.
redis-equality keys="300000" megabytes="200":
    DUMPRESTORE_KEYS={{keys}} DUMPRESTORE_VALUE={{megabytes}} cargo test --release -p dumprestore-redis \
        --test equality --test restore_memory -- --nocapture

# Dumps, verifications and restores of so many objects and one of so many megabytes, and of a stack with so many in each of its
# sources by way of 10 MB of disk: their memory. Needs 16 GB of memory, which is the disk of the stores.
sizes objects="100000" megabytes="6144" stack="256":
    DUMPRESTORE_OBJECTS={{objects}} DUMPRESTORE_LARGE={{megabytes}} DUMPRESTORE_STACK={{stack}} \
        cargo test --release -p dumprestore-cli --test size -- --nocapture --test-threads=1

# All of a stack at once, beside the scripts that people write and borgmatic: 1.6 GB.
bench-stack:
    cargo build --release -p dumprestore-cli
    python3 benches/whole_stack.py target/release/dumprestore

# Accept changed snapshots of messages.
accept:
    INSTA_UPDATE=always cargo test --workspace

# Lines of `archive` and `engine` that no test reaches (needs cargo-llvm-cov and llvm-tools).
coverage:
    cargo llvm-cov -p dumprestore-archive -p dumprestore -p dumprestore-tests --summary-only \
        --ignore-filename-regex '(drivers|testkit|tests)/'

# Fuzz one target for so many seconds (needs cargo-fuzz and a nightly toolchain): `just fuzz archive manifest 60`.
fuzz crate target seconds="60":
    cd crates/{{crate}} && cargo +nightly fuzz run {{target}} -- -max_total_time={{seconds}}

# Licences, sources and duplicate versions (needs cargo-deny).
deny:
    cargo deny check licenses bans sources
