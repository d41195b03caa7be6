#!/bin/sh
# Takes the pictures of the status page anew: the demo with some traffic for half an hour, seen by Chromium.
#
#     tests/setup.sh && . target/test-env/env.sh && apt-get install pngquant fonts-wqy-microhei fonts-noto-color-emoji
#     docs/images/page.sh [MINUTES]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
minutes=${1:-30}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cargo build --quiet --manifest-path "$root/Cargo.toml"
"$root/target/debug/sentry-notice" demo --listen 127.0.0.1:0 --seconds $((minutes * 60 + 60)) >"$work/said" &
until grep -q 'status page' "$work/said"; do sleep 1; done
proxy=$(sed -n 's#.*@\(127.0.0.1:[0-9]*\)/1$#\1#p' "$work/said")
admin=$(sed -n 's#.*status page *http://\(.*\)/$#\1#p' "$work/said")
"$SENTRY_NOTICE_NODE" "$here/load.mjs" "http://$proxy" "$minutes"
"$SENTRY_NOTICE_NODE" "$root/tests/clients/status_page.mjs" "$admin" <<STEPS
{"do":"open","width":1160,"height":1450,"scale":1.25}
{"do":"see","place":"#live","text":"live"}
{"do":"shot","file":"$work/page-en.png"}
{"do":"open","width":390,"height":1400,"scale":1.5,"phone":true,"dark":true,"language":"zh-CN"}
{"do":"see","place":"#live","text":"实时更新"}
{"do":"shot","file":"$work/page-zh-phone.png"}
{"do":"open","width":1160,"height":560,"scale":1.25,"dark":true,"language":"zh-CN"}
{"do":"see","place":"#live","text":"实时更新"}
{"do":"click","place":"#alerts details:not([open]) summary"}
{"do":"shot","file":"$work/page-zh-alerts.png","place":"#alerts","above":700}
STEPS
for name in page-en page-zh-phone page-zh-alerts; do
    pngquant --force --strip --quality 60-90 --output "$here/$name.png" 64 "$work/$name.png"
done
wait
