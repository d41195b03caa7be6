"""Two real clients of DingTalk's custom robots, pointed at a robot simulator.

    python robot_clients.py BASE_URL SIGNED_TOKEN SECRET PLAIN_TOKEN

BASE_URL is `http://127.0.0.1:PORT`; the robot SIGNED_TOKEN demands signatures made with SECRET, PLAIN_TOKEN none.
Prints one line of JSON for each call: `{"client":"dingtalkchatbot","call":"text","result":{"errcode":0,…}}`, `result`
being what the client hands to its caller (dingtalkchatbot: DingTalk's answer; apprise: whether it thinks it was sent).
The last line tells every address that the process asked for: `{"peers":["127.0.0.1:40001"]}`. Any other host than
127.0.0.1 is refused before a packet leaves.

What apprise 2.2.0 gets wrong, and the test beside this script holds on to:
- it encodes the signature twice (`get_signature` quotes, `requests` quotes again), so a signed robot refuses it;
- it looks at the HTTP status only, which is 200 for refusals too, and reports success;
- it lists `atMobiles` without naming them in the text, so nobody is mentioned.
"""

import json
import os
import sys

HERE = "127.0.0.1"
MOBILE = "13800000000"
PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy")

peers = set()


def main() -> None:
    """Stays on this machine, lets both clients send, tells what came of it."""
    base_url, signed_token, secret, plain_token = sys.argv[1:]
    sys.addaudithook(stay_here)
    for name in PROXY_VARIABLES:
        os.environ.pop(name, None)
        os.environ.pop(name.upper(), None)

    send_with_dingtalkchatbot(f"{base_url}/robot/send?access_token={signed_token}", secret)
    send_with_apprise(base_url, signed_token, secret, plain_token)
    print(json.dumps({"peers": sorted(peers)}))


def stay_here(event: str, arguments: tuple) -> None:
    """Refuses to look up or connect to anything but 127.0.0.1, and notes who was asked for."""
    if event == "socket.getaddrinfo":
        host, port = arguments[0], arguments[1]
    elif event in ("socket.connect", "socket.sendto"):
        host, port = arguments[1][0], arguments[1][1]
    else:
        return
    peers.add(f"{host}:{port}")
    if host != HERE:
        raise PermissionError(f"{event} to {host}:{port}")


def send_with_dingtalkchatbot(webhook: str, secret: str) -> None:
    """Sends each message type that the robot knows, and two that it must refuse."""
    from dingtalkchatbot.chatbot import ActionCard, CardItem, DingtalkChatbot

    robot = DingtalkChatbot(webhook, secret=secret)
    links = [CardItem(title=f"link {number}", url=f"https://example.com/{number}") for number in (1, 2)]
    pictures = [
        CardItem(title=f"news {number}", url=f"https://example.com/{number}", pic_url="https://example.com/p.png")
        for number in (1, 2)
    ]
    calls = {
        "text": lambda: robot.send_text("支付失败 + 50%", at_mobiles=[MOBILE]),
        "markdown": lambda: robot.send_markdown("标题", "### 标题\n\n[open](https://example.com/?a=1&b=2)", is_at_all=True),
        "link": lambda: robot.send_link("title", "text", "https://example.com/"),
        "card": lambda: robot.send_action_card(ActionCard("title", "text", links[:1])),
        "buttons": lambda: robot.send_action_card(ActionCard("title", "text", links)),
        "feed": lambda: robot.send_feed_card(pictures),
        "wrong secret": lambda: DingtalkChatbot(webhook, secret="SECwrong").send_text("x"),
        "no secret": lambda: DingtalkChatbot(webhook).send_text("x"),
    }
    for name, call in calls.items():
        tell("dingtalkchatbot", name, call())


def send_with_apprise(base_url: str, signed_token: str, secret: str, plain_token: str) -> None:
    """Sends text and markdown, with and without a signature."""
    import apprise
    from apprise.plugins.dingtalk import NotifyDingTalk

    # apprise knows no other host than oapi.dingtalk.com.
    NotifyDingTalk.notify_url = base_url + "/robot/send?access_token={token}"
    markdown, text = apprise.NotifyFormat.MARKDOWN, apprise.NotifyFormat.TEXT
    table = [
        ("signed text", f"dingtalk://{secret}@{signed_token}/{MOBILE}/", text),
        ("plain text", f"dingtalk://{plain_token}/{MOBILE}/", text),
        ("plain markdown", f"dingtalk://{plain_token}/?format=markdown", markdown),
    ]
    for name, url, body_format in table:
        notifier = apprise.Apprise()
        assert notifier.add(url), url
        result = notifier.notify(title="标题", body="**body** of it", body_format=body_format)
        tell("apprise", name, bool(result))


def tell(client: str, call: str, result: object) -> None:
    """Prints the outcome of one call."""
    print(json.dumps({"client": client, "call": call, "result": result}))


if __name__ == "__main__":
    main()
