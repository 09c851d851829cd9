#!/usr/bin/env bash
# Installs what the tests need, and passes them: format, lints, tests, documentation samples.
set -euo pipefail
cd "$(dirname "$0")/.."
./scripts/install-test-tools.sh
cargo fmt --all --check
cargo clippy --workspace --all-targets --locked -- -D warnings
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet
cargo test --workspace --locked --no-run

# Most tests wait for servers, so three lanes of them share the processors. A lane is told of when it is over.
told=$(mktemp -d)
trap 'rm -rf "$told"' EXIT
lane() {
    local name=$1 failed=0
    shift
    set -f
    for targets in "$@"; do
        cargo test --workspace --locked --no-fail-fast $targets >> "$told/$name" 2>&1 || failed=1
    done
    cat "$told/$name"
    return $failed
}
lanes=()
lane first "--test [c]*" "--lib --bins --examples" --doc & lanes+=($!)
lane second "--test [!cp-z]*" & lanes+=($!)
lane third "--test [p-z]*" & lanes+=($!)
failed=0
for one in "${lanes[@]}"; do wait "$one" || failed=1; done
exit $failed
