//! The client against `testkit`'s simulator, which shares no code with it: signature, field names and limits are checked by
//! somebody else's reading of DingTalk's pages.

use std::time::{Duration, SystemTime};

use alert::{Message, Notifier as _, Retry};
use dingtalk::{HttpSettings, Language, Mention, MessageKind, Robot, RobotConfig, Secret, Webhook};
use testkit::{RobotSimulator, Wording};

use crate::client::install_tls;
use crate::sample::{SECRET, TOKEN, alert, message, robot};

#[tokio::test]
async fn a_strict_robot_takes_every_card() {
    let simulator = RobotSimulator::start([strict()]).await.unwrap();
    let kinds = [
        MessageKind::Markdown,
        MessageKind::ActionCard,
        MessageKind::Text,
    ];
    let test = Message::Test {
        robot: "oncall".to_owned(),
        at: SystemTime::now(),
    };
    let mut sent = 0;

    for message_kind in kinds {
        for language in [Language::ZhCn, Language::En] {
            for message in [message(alert()), test.clone()] {
                sent += 1;
                let config = RobotConfig {
                    message: message_kind,
                    language,
                    ..config(&simulator)
                };
                let verdict = notify(config, &message, &format!("id-{sent}")).await;
                assert_eq!(verdict, Ok(()), "{message_kind:?} {language:?}");
            }
        }
    }

    let shown = simulator.messages();
    assert_eq!(shown.len(), sent);
    for message in shown {
        assert_eq!(message.warnings, [""; 0], "{}", message.body);
        assert!(message.text.contains(KEYWORD), "{}", message.text);
    }
}

#[tokio::test]
async fn mentions_reach_the_members_who_are_configured() {
    let robot = strict().member("13800000000").member("manager1");
    let simulator = RobotSimulator::start([robot]).await.unwrap();
    let mention = Mention {
        mobiles: vec!["13800000000".to_owned()],
        user_ids: vec!["manager1".to_owned()],
        all: false,
    };

    for (number, kind) in [
        MessageKind::Markdown,
        MessageKind::ActionCard,
        MessageKind::Text,
    ]
    .into_iter()
    .enumerate()
    {
        let config = RobotConfig {
            message: kind,
            mention: mention.clone(),
            ..config(&simulator)
        };
        notify(config, &message(alert()), &format!("id-{number}"))
            .await
            .unwrap();
    }

    for message in simulator.messages() {
        assert_eq!(message.at_mobiles, ["13800000000"]);
        assert_eq!(message.at_user_ids, ["manager1"]);
    }
}

#[tokio::test]
async fn names_the_cause_in_every_wording() {
    let wordings = [
        Wording::Plain,
        Wording::Linked,
        Wording::Described,
        Wording::DescribedInChinese,
    ];
    for wording in wordings {
        let elsewhere =
            testkit::Robot::new("elsewhere").allowed_network([203, 0, 113, 0].into(), 24);
        let robots = [strict().wording(wording), elsewhere.wording(wording)];
        let simulator = RobotSimulator::start(robots).await.unwrap();
        let right = config(&simulator);
        let wrong_secret = RobotConfig {
            secret: Some(Secret::new("SECother")),
            ..right.clone()
        };
        let no_keyword = RobotConfig {
            keyword: None,
            ..right.clone()
        };
        let wrong_token = RobotConfig {
            webhooks: vec![webhook(&simulator, "unknown")],
            ..right.clone()
        };
        let wrong_address = RobotConfig {
            webhooks: vec![webhook(&simulator, "elsewhere")],
            ..right
        };

        let cases = [
            (wrong_secret, "signature_mismatch"),
            (no_keyword, "keyword_missing"),
            (wrong_token, "token_unknown"),
            (wrong_address, "address_refused"),
        ];
        for (config, reason) in cases {
            let failure = notify(config, &message(alert()), "id-1").await.unwrap_err();

            assert_eq!(
                (failure.reason, failure.retry),
                (reason, Retry::AfterRepair),
                "{wording:?}"
            );
        }
    }
}

#[tokio::test]
async fn delivers_although_the_clock_is_hours_off() {
    let wordings = [
        Wording::Plain,
        Wording::Linked,
        Wording::Described,
        Wording::DescribedInChinese,
    ];
    for wording in wordings {
        let simulator = RobotSimulator::start([strict().wording(wording)])
            .await
            .unwrap();
        simulator.clock().advance(Duration::from_secs(3 * 3_600));

        notify(config(&simulator), &message(alert()), "id-1")
            .await
            .unwrap();

        assert_eq!(
            (simulator.messages().len(), simulator.refusals().len()),
            (1, 1)
        );
    }
}

#[tokio::test]
async fn a_repeat_with_the_same_id_is_shown_once() {
    let simulator = RobotSimulator::start([strict()]).await.unwrap();

    for _ in 0..2 {
        notify(config(&simulator), &message(alert()), "id-1")
            .await
            .unwrap();
    }

    assert_eq!(simulator.messages().len(), 1);
}

#[tokio::test]
async fn each_webhook_signs_with_its_own_secret_and_has_its_own_budget() {
    let simulator =
        RobotSimulator::start([strict(), testkit::Robot::new("second").secret("SECsecond")])
            .await
            .unwrap();
    let first = config(&simulator);
    let robot = robot_of(RobotConfig {
        webhooks: vec![first.webhooks[0].clone(), webhook(&simulator, "second")],
        secrets: vec![Secret::new(SECRET), Secret::new("SECsecond")],
        secret: None,
        ..first
    });

    for channel in [0, 1] {
        let id = format!("id-{channel}");
        let now = SystemTime::now();
        robot
            .notify(channel, &message(alert()), &id, now)
            .await
            .unwrap();
    }

    let tokens: Vec<String> = simulator
        .messages()
        .into_iter()
        .map(|message| message.token)
        .collect();
    assert_eq!(tokens[1], "second");
    let channels = robot.channels();
    assert_ne!(channels[0].bucket, channels[1].bucket);
}

#[tokio::test]
async fn the_twenty_first_message_of_a_minute_closes_the_robot() {
    let simulator = RobotSimulator::start([strict()]).await.unwrap();
    let robot = robot_of(config(&simulator));
    let mut verdicts = Vec::new();

    for number in 0..21 {
        let verdict = robot
            .notify(
                0,
                &message(alert()),
                &format!("id-{number}"),
                SystemTime::now(),
            )
            .await;
        verdicts.push(verdict.map_err(|failure| failure.retry));
    }

    assert_eq!(verdicts[..20], [Ok(()); 20]);
    assert_eq!(verdicts[20], Err(Retry::Paused(Duration::from_secs(60))));
}

async fn notify(config: RobotConfig, message: &Message, id: &str) -> Result<(), alert::Failure> {
    robot_of(config)
        .notify(0, message, id, SystemTime::now())
        .await
}

fn robot_of(config: RobotConfig) -> Robot {
    install_tls();
    Robot::new(config, &HttpSettings::default()).unwrap()
}

fn config(simulator: &RobotSimulator) -> RobotConfig {
    RobotConfig {
        webhooks: vec![webhook(simulator, TOKEN)],
        keyword: Some(KEYWORD.to_owned()),
        ..robot()
    }
}

fn webhook(simulator: &RobotSimulator, token: &str) -> Webhook {
    Webhook::parse(&simulator.url(token)).unwrap()
}

fn strict() -> testkit::Robot {
    testkit::Robot::new(TOKEN)
        .secret(SECRET)
        .keyword(KEYWORD)
        .strict()
}

const KEYWORD: &str = "监控报警";
