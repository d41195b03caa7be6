#!/usr/bin/env bash
# The one test command of the project: checks the sources, runs every test, and tries the program on real input.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

usage() {
    cat <<'END'
usage: tests/run.sh [--fast]

Installs what the tests need, then runs: formatting, lints, documentation, all tests (the real Sentry SDKs through the
real program to a real Bugsink among them), and the release build's demo. Goes on after a failure, so that one run
tells everything, and exits 0 only when every step passed.

  --fast   the same without the installation, the real-input tests and the demo
  --help   this text
END
}

readonly environment=${CARGO_TARGET_DIR:-$PWD/target}/test-env
readonly logs=$environment/logs
readonly tail_lines=200
summary=()
failed=0

main() {
    local fast=
    case "${1-}" in
    '') ;;
    --fast) fast=1 ;;
    --help | -h) usage && exit 0 ;;
    *) usage >&2 && exit 2 ;;
    esac
    exec </dev/null
    mkdir -p "$logs"
    export PYTHONDONTWRITEBYTECODE=1 CARGO_TERM_COLOR=never

    [[ $fast ]] || prepare
    # For every platform, because tests/architecture.rs reads the whole dependency graph without a network.
    quietly dependencies cargo fetch --locked
    quietly formatting cargo fmt --all --check
    quietly lints cargo clippy --workspace --all-targets --locked -- -D warnings
    quietly documentation env RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked
    quietly 'build of the tests' cargo test --workspace --locked --no-run
    step tests cargo test --workspace --locked --no-fail-fast
    if [[ ! $fast ]]; then
        quietly 'release build' cargo build --release --locked
        step demo cargo run --release --locked --quiet -- demo --seconds 20
    fi
    conclude
}

# Sets up the real-input tests, and makes a test that has to skip itself fail from here on.
prepare() {
    export SENTRY_NOTICE_REQUIRE_REAL=1
    # Three properties of cards, 7 000 hostile events each.
    export PROPTEST_CASES=${PROPTEST_CASES:-7000}
    quietly 'test environment' tests/setup.sh
    if [[ -f $environment/env.sh ]]; then
        # shellcheck source=/dev/null
        . "$environment/env.sh"
    fi
}

# Runs a step whose output matters only when it fails: quietly NAME COMMAND…
quietly() {
    local log=$logs/${1// /-}.log
    step "$1" with_log "$log" "${@:2}"
}

# Runs a step, shows its output, and notes its result: step NAME COMMAND…
step() {
    local name=$1 started=$SECONDS result=passed
    shift
    echo "==> $name"
    if ! "$@"; then
        result=FAILED
        failed=$((failed + 1))
    fi
    local line
    line=$(printf '%-20s %-6s %4d s' "$name" "$result" $((SECONDS - started)))
    summary+=("$line")
    echo "    $result after $((SECONDS - started)) s"
}

# Keeps a command's output in a file, and shows the end of it if the command fails: with_log FILE COMMAND…
with_log() {
    local log=$1
    shift
    "$@" >"$log" 2>&1 && return
    tail -n "$tail_lines" "$log"
    echo "    whole output: $log"
    return 1
}

# Prints every step's result; ends with 0 only when all passed.
conclude() {
    echo "==> summary, $SECONDS s"
    printf '    %s\n' "${summary[@]}"
    if ((failed > 0)); then
        echo "    $failed of ${#summary[@]} steps failed"
        exit 1
    fi
    echo "    all ${#summary[@]} steps passed"
}

main "$@"
