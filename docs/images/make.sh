#!/bin/sh
# Takes the pictures of docs/cards.md anew: cards from the crate's own samples, in a headless Chromium as wide as a phone.
#
#     apt-get install chromium pngquant fonts-wqy-microhei fonts-noto-color-emoji
#     docs/images/make.sh
set -eu
here=$(cd "$(dirname "$0")" && pwd)
pages=$(mktemp -d)
trap 'rm -rf "$pages"' EXIT

cargo run --quiet --manifest-path "$here/../../Cargo.toml" --package dingtalk --example gallery -- "$pages"
browse() {
    chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$pages/profile" "$@" 2>"$pages/log"
}
for page in "$pages"/*.html; do
    name=$(basename "$page" .html)
    height=$(browse --window-size=390,400 --dump-dom "file://$page" | sed -n 's/.*<title>\([0-9]*\)<.*/\1/p')
    browse --window-size="390,$height" --force-device-scale-factor=1.5 --screenshot="$pages/$name.png" "file://$page"
    pngquant --force --strip --quality 60-90 --output "$here/$name.png" 48 "$pages/$name.png"
    echo "$name.png: 390 x $height, $(wc -c <"$here/$name.png") bytes"
done
