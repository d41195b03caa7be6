//! Against a real redis-server: the contract, several replicas, and what only Redis can do.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use tempfile::TempDir;

use super::server::Server;
use super::*;
use crate::conformance::{SIGHTING, at, claim, hash, key, see, tell, word};
use crate::{Fallback, Mute, Scope};

/// The contract, on one server: each claim has a prefix of its own.
mod contract {
    use super::*;

    macro_rules! claims {
        ($fresh:expr; $($module:ident: $($claim:ident),+;)+) => {
            $($(
                #[tokio::test]
                async fn $claim() {
                    let Some(store) = $fresh.await else { return };
                    crate::conformance::$module::$claim(&store).await;
                }
            )+)+
        };
    }
    crate::conformance::all_claims!(claims, fresh());
}

#[tokio::test]
async fn replicas_claim_each_word_once_and_sum_their_counts() {
    let Some(url) = url() else { return };
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(Arc::new(on(&url, "fleet:", PATIENT).await));
    }

    let mut tasks = tokio::task::JoinSet::new();
    for (number, replica) in replicas.iter().enumerate() {
        let replica = Arc::clone(replica);
        tasks.spawn(async move {
            let mut won = 0;
            for event in 0..1_000_u32 {
                won += u32::from(say(&replica, number, event).await);
            }
            won
        });
    }

    let won: u32 = tasks.join_all().await.into_iter().sum();
    assert_eq!(won, 100);
    let issues = replicas[0].recent(999).await.unwrap();
    let events: u64 = issues.iter().map(|issue| issue.events).sum();
    assert_eq!((issues.len(), events), (100, 3_000));
    let users: u64 = issues.iter().map(|issue| issue.users).sum();
    assert_eq!(users, 300, "each replica has a user of its own");
}

/// Observes an event of one of 100 issues and claims its first word; returns whether the claim was won.
async fn say(store: &Redis, replica: usize, event: u32) -> bool {
    let mut hash = [0; 16];
    hash[..4].copy_from_slice(&(event % 100).to_be_bytes());
    let mut id = [0; 16];
    id[..4].copy_from_slice(&event.to_be_bytes());
    id[4] = u8::try_from(replica).unwrap();
    let user = format!("user-{replica}");
    let sighting = Sighting {
        hashes: &[crate::IssueHash(hash)],
        event_id: Some(id),
        user: Some(&user),
        ..SIGHTING
    };
    let seen = store
        .observe(&sighting, at(u64::from(event)))
        .await
        .unwrap();
    if seen.routes[0].said.is_some() || seen.routes[0].is_claimed {
        return false;
    }
    let robots = ["oncall".to_owned()];
    let id = format!("{}-{event}", seen.issue);
    let parcel = Parcel {
        id: &id,
        word: Some(crate::Word {
            issue: seen.issue,
            ..word(0, None)
        }),
        robots: &robots,
        ..crate::conformance::PARCEL
    };
    store.claim(&parcel, at(0)).await.unwrap() == Claim::Won
}

#[tokio::test]
async fn what_a_dead_replica_claimed_is_sent_by_another() {
    let Some(url) = url() else { return };
    let dead = on(&url, "dead:", PATIENT).await;
    see(&dead, b'a', 1, 0).await;
    claim(&dead, "a-1", b'a', None, 0).await;
    let lease = Duration::from_secs(30);
    assert!(dead.lead("oncall", "dead", lease, at(0)).await.unwrap());
    drop(dead);

    let other = on(&url, "dead:", PATIENT).await;

    assert!(!other.lead("oncall", "other", lease, at(29)).await.unwrap());
    assert!(other.lead("oncall", "other", lease, at(30)).await.unwrap());
    assert_eq!(other.pending("oncall", 9).await.unwrap().alone.len(), 1);
    tell(&other, "oncall", "a-1", 1, 31).await;
    assert!(see(&other, b'a', 2, 32).await.routes[0].said.is_some());
}

#[tokio::test]
async fn replicas_share_one_budget_and_their_mutes() {
    let Some(url) = url() else { return };
    let one = on(&url, "shared:", PATIENT).await;
    let other = on(&url, "shared:", PATIENT).await;
    let mute = Mute {
        id: "1".to_owned(),
        scope: Scope::Issue(key(b'a')),
        since: at(0),
        until: Some(at(60)),
        by: "静默".to_owned(),
        comment: "it's | known".to_owned(),
    };

    one.mute(&mute).await.unwrap();
    let mut granted = 0;
    for second in 0..40 {
        for store in [&one, &other] {
            let taken = store.take("oncall", 20, at(second)).await.unwrap();
            granted += usize::from(taken == Take::Granted);
        }
    }

    assert_eq!(granted, 20);
    assert_eq!(other.mutes(at(1)).await.unwrap(), [mute]);
}

#[tokio::test]
async fn users_are_exact_up_to_a_thousand_and_a_floor_beyond() {
    let Some(store) = fresh().await else { return };
    let mut at_1000 = None;
    let mut last = None;
    for number in 0..3_000 {
        let user = format!("user-{number}");
        let sighting = Sighting {
            hashes: &[hash(b'a')],
            user: Some(&user),
            ..SIGHTING
        };
        let seen = store.observe(&sighting, at(0)).await.unwrap();
        if number == 999 {
            at_1000 = Some((seen.users, seen.are_users_exact));
        }
        last = Some(seen);
    }

    assert_eq!(at_1000, Some((1_000, true)));
    let last = last.unwrap();
    assert!(!last.are_users_exact);
    assert!((2_800..=3_000).contains(&last.users), "{}", last.users);
    let listed = store.issue(&key(b'a')).await.unwrap().unwrap();
    assert_eq!((listed.users, listed.are_users_exact), (last.users, false));
}

#[tokio::test]
async fn a_large_digest_is_read_and_settled_in_parts() {
    let Some(store) = fresh().await else { return };
    let robots = ["oncall".to_owned()];
    for number in 0..600 {
        let id = format!("{number:03}");
        let parcel = Parcel {
            id: &id,
            robots: &robots,
            gather_until: Some(at(300)),
            ..crate::conformance::PARCEL
        };
        store.claim(&parcel, at(number)).await.unwrap();
    }

    let due = store.gathered("oncall", 5, at(300)).await.unwrap();

    assert_eq!((due.named.len(), due.others.len()), (5, 595));
    assert_eq!((&*due.others[0].id, &*due.others[594].id), ("005", "599"));
    let end = End::Told { events: 0 };
    let named = due.named.iter().map(|waiting| &*waiting.id);
    let ids = named.chain(due.others.iter().map(|other| &*other.id));
    let settlements: Vec<Settlement<'_>> = ids.map(|id| Settlement { id, end }).collect();
    store
        .settle("oncall", &settlements, 0, at(301))
        .await
        .unwrap();
    assert_eq!(store.pending("oncall", 9).await.unwrap().gathered_total, 0);
}

#[tokio::test]
async fn many_old_issues_are_forgotten_in_parts_and_their_keys_with_them() {
    let Some(url) = url() else { return };
    let store = on(&url, "old:", PATIENT).await;
    for event in 0..1_000 {
        say(&store, 0, event).await;
    }
    for number in 0..450_u32 {
        let mut bytes = [9; 16];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        let sighting = Sighting {
            hashes: &[crate::IssueHash(bytes)],
            user: Some("u"),
            ..SIGHTING
        };
        store.observe(&sighting, at(0)).await.unwrap();
    }

    let gone = store.expire(at(5_000), at(0), at(5_000)).await.unwrap();

    assert_eq!(gone.issues, 450, "those with a word on its way stay");
    let left = keys(&store, "old:*").await;
    assert_eq!(left.iter().filter(|key| key.contains(":i:")).count(), 100);
    assert_eq!(left.iter().filter(|key| key.contains(":u:")).count(), 100);
    let gone = store.expire(at(0), at(5_000), at(5_000)).await.unwrap();
    assert_eq!(gone.parcels, 100);
    let gone = store.expire(at(5_000), at(0), at(5_000)).await.unwrap();
    assert_eq!(gone.issues, 100);
    let issues = keys(&store, "old:{0}:?:1:*").await;
    assert_eq!(issues, [""; 0]);
}

#[tokio::test]
async fn every_key_of_an_issue_and_a_robot_goes_by_itself_in_the_end() {
    let Some(store) = fresh().await else { return };
    let both = [hash(b'x'), hash(b'a')];
    let sighting = Sighting {
        hashes: &both,
        user: Some("u"),
        event_id: Some([1; 16]),
        ..SIGHTING
    };
    see(&store, b'a', 1, 0).await;
    store.observe(&sighting, at(0)).await.unwrap();
    claim(&store, "a-1", b'a', None, 0).await;
    store.take("b", 1, at(0)).await.unwrap();
    store.close("b", at(60), at(0)).await.unwrap();
    let lease = Duration::from_secs(1);
    store.lead("oncall", "me", lease, at(0)).await.unwrap();
    store.expire(at(0), at(0), at(0)).await.unwrap();

    let mut endless = Vec::new();
    for key in keys(&store, &format!("{}*", store.prefix)).await {
        let command = redis::cmd("PTTL").arg(&key).to_owned();
        let ttl: i64 = store.link.ask(&command).await.unwrap().number().unwrap();
        if ttl < 0 {
            endless.push(key);
        }
    }

    assert_eq!(endless, [""; 0]);
}

#[tokio::test]
async fn a_cluster_finds_all_keys_in_one_slot() {
    let folder = TempDir::new().unwrap();
    let (port, bus) = (free_port(), free_port());
    let arguments = [
        "--port",
        &port.to_string(),
        "--cluster-enabled",
        "yes",
        "--cluster-port",
        &bus.to_string(),
    ];
    let Some(server) = Server::start(folder.path(), &arguments) else {
        return;
    };
    let node = on(&server.url(), "", PATIENT).await;
    let slots = redis::cmd("CLUSTER")
        .arg("ADDSLOTSRANGE")
        .arg(0)
        .arg(16_383)
        .to_owned();
    node.link.ask(&slots).await.unwrap();
    let info = redis::cmd("CLUSTER").arg("INFO").to_owned();
    eventually(async || {
        let info = node.link.ask(&info).await.unwrap().text().unwrap();
        info.contains("cluster_state:ok")
    })
    .await;

    let store = on(
        &format!("redis+cluster://127.0.0.1:{port}"),
        "notice:",
        PATIENT,
    )
    .await;

    crate::conformance::outbox::several_robots_tell_one_word(&store).await;
    crate::conformance::issues::any_known_hash_names_the_issue(
        &on(
            &format!("redis+cluster://127.0.0.1:{port}"),
            "own:{tag}:",
            PATIENT,
        )
        .await,
    )
    .await;
    assert_eq!(store.beat("me", at(0)).await.unwrap().replicas, 1);
}

#[tokio::test]
async fn sentinels_name_the_server() {
    let (folder, guard_folder) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (port, guard_port) = (free_port().to_string(), free_port().to_string());
    let login = ["--port", &port, "--requirepass", "p@w"];
    let Some(_server) = Server::start(folder.path(), &login) else {
        return;
    };
    let config = guard_folder.path().join("sentinel.conf");
    let lines = [
        format!("sentinel monitor mymaster 127.0.0.1 {port} 1"),
        "sentinel auth-pass mymaster p@w".to_owned(),
    ];
    let lines = lines.join("\n");
    std::fs::write(&config, lines).unwrap();
    let arguments = ["--port", &guard_port];
    let _guard = Server::guard(guard_folder.path(), &config, &arguments).unwrap();

    let url = format!("redis+sentinel://:p%40w@127.0.0.1:{guard_port}/mymaster");
    let store = on(&url, "", PATIENT).await;

    assert_eq!(see(&store, b'a', 1, 0).await.events, 1);
    let wrong = url.replace("mymaster", "other");
    let store = Redis::new(config_of(&wrong, "", PATIENT));
    let error = store.connect().await.unwrap_err();
    assert_eq!(error.backend, "redis");
}

#[tokio::test]
async fn tls_is_spoken_and_an_unknown_certificate_refused() {
    let folder = TempDir::new().unwrap();
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, private) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    std::fs::write(&certificate, key.cert.pem()).unwrap();
    std::fs::write(&private, key.signing_key.serialize_pem()).unwrap();
    let port = free_port().to_string();
    let certificate = certificate.to_str().unwrap().to_owned();
    let arguments = [
        "--tls-port",
        &port,
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        private.to_str().unwrap(),
        "--tls-ca-cert-file",
        &certificate,
        "--tls-auth-clients",
        "no",
    ];
    let Some(_server) = Server::start(folder.path(), &arguments) else {
        return;
    };
    let _ = rustls::crypto::ring::default_provider().install_default();

    let url = format!("rediss://localhost:{port}");
    let error = Redis::new(config_of(&url, "", PATIENT))
        .connect()
        .await
        .unwrap_err();

    let cause = error.source.to_string();
    assert!(cause.contains("certificate"), "{cause}");
}

#[tokio::test]
async fn a_call_waits_no_longer_than_its_budget() {
    let folder = TempDir::new().unwrap();
    let Some(server) = Server::start(folder.path(), &[]) else {
        return;
    };
    let store = on(&server.url(), "", Duration::from_millis(50)).await;

    server.signal("STOP");
    let error = store.mutes(at(0)).await.unwrap_err();
    server.signal("CONT");

    assert_eq!(error.source.to_string(), "no answer within 50ms");
}

/// What goes wrong with a real server, one after the other: every event is answered meanwhile, and all is well after.
#[tokio::test]
async fn every_fault_of_a_server_is_survived_and_told() {
    let folder = TempDir::new().unwrap();
    let Some(mut server) = Server::start(folder.path(), &[]) else {
        return;
    };
    let operator = on(&server.url(), "operator:", PATIENT).await;
    let ask = async |words: &[&str]| {
        let mut command = redis::cmd(words[0]);
        words[1..].iter().for_each(|word| {
            command.arg(word);
        });
        operator.link.ask(&command).await.map(drop)
    };
    let replica = fleet_member(&server.url()).await;
    see(&replica, b'a', 1, 0).await;
    claim(&replica, "a-1", b'a', None, 0).await;
    tell(&replica, "oncall", "a-1", 1, 1).await;
    eventually(async || replica.trouble().is_none()).await;

    let mut event = 10;
    for fault in ["full", "read-only", "paused", "stopped", "killed"] {
        match fault {
            "full" => ask(&["CONFIG", "SET", "maxmemory", "1"]).await.unwrap(),
            "read-only" => ask(&["REPLICAOF", "127.0.0.1", "1"]).await.unwrap(),
            "paused" => ask(&["CLIENT", "PAUSE", "3000", "ALL"]).await.unwrap(),
            "stopped" => server.signal("STOP"),
            _ => server.kill(),
        }
        let waiting = async || {
            event += 1;
            let seen = see(&replica, b'a', event, 2).await;
            assert_eq!(
                seen.routes[0].said.unwrap().at,
                at(1),
                "{fault}: not repeated"
            );
            replica.trouble().is_some()
        };
        eventually(waiting).await;
        let what = replica.trouble().unwrap().what;
        assert!(what.starts_with("`redis` is away: "), "{fault}: {what}");
        match fault {
            "full" => ask(&["CONFIG", "SET", "maxmemory", "0"]).await.unwrap(),
            "read-only" => ask(&["REPLICAOF", "NO", "ONE"]).await.unwrap(),
            "paused" => {}
            "stopped" => server.signal("CONT"),
            _ => server.restart(),
        }
        eventually(async || replica.trouble().is_none()).await;
        event += 1;
        let seen = see(&replica, b'a', event, 3).await;
        assert_eq!(
            seen.routes[0].said.unwrap().at,
            at(1),
            "{fault}: not repeated after"
        );
    }
}

#[tokio::test]
async fn a_server_that_is_still_loading_is_away() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let loading = tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((connection, _)) = listener.accept().await {
            connections.spawn(refuse(connection));
        }
    });

    let replica = fleet_member(&url).await;

    let what = replica.trouble().unwrap().what;
    assert!(what.contains("loading"), "{what}");
    assert_eq!(see(&replica, b'a', 1, 0).await.events, 1);
    loading.abort();
}

/// Answers everything as a server does that reads its data.
async fn refuse(connection: tokio::net::TcpStream) {
    let mut buffer = [0; 4_096];
    loop {
        connection.readable().await.unwrap();
        match connection.try_read(&mut buffer) {
            Ok(0) => return,
            Ok(read) => {
                let commands = buffer[..read].iter().filter(|byte| **byte == b'*').count();
                let answer = "-LOADING Redis is loading the dataset in memory\r\n".repeat(commands);
                let _ = connection.try_write(answer.as_bytes());
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

/// A replica as the program has it.
async fn fleet_member(url: &str) -> Fallback {
    let started = std::time::Instant::now();
    let clock = Arc::new(move || at(0) + started.elapsed());
    let redis = Redis::new(config_of(url, "fleet:", Duration::from_millis(50)));
    Fallback::start(redis, clock).await
}

/// Asks until the answer is yes.
async fn eventually(mut is_so: impl AsyncFnMut() -> bool) {
    let asking = async {
        let mut often = tokio::time::interval(Duration::from_millis(20));
        while !is_so().await {
            often.tick().await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(120), asking).await;
    assert!(in_time.is_ok(), "never came true");
}

async fn keys(store: &Redis, pattern: &str) -> Vec<String> {
    let command = redis::cmd("KEYS").arg(pattern).to_owned();
    let mut answer = store.link.ask(&command).await.unwrap();
    let mut keys = Vec::new();
    while !answer.is_done() {
        keys.push(answer.text().unwrap());
    }
    keys
}

/// A port that was free just now.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A store of its own on the common server; `None` where there is no redis-server.
async fn fresh() -> Option<Redis> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let prefix = format!("test-{}:", NUMBER.fetch_add(1, Ordering::Relaxed));
    Some(on(&url()?, &prefix, PATIENT).await)
}

async fn on(url: &str, prefix: &str, budget: Duration) -> Redis {
    let redis = Redis::new(config_of(url, prefix, budget));
    redis.connect().await.unwrap();
    redis
}

fn config_of(url: &str, prefix: &str, budget: Duration) -> RedisConfig {
    RedisConfig {
        address: url.parse().unwrap(),
        prefix: prefix.to_owned(),
        retention: Duration::from_secs(86_400),
        budget,
    }
}

/// The server that all tests share.
fn url() -> Option<String> {
    static COMMON: OnceLock<Option<(Server, TempDir)>> = OnceLock::new();
    let common = COMMON.get_or_init(|| {
        let folder = TempDir::new().unwrap();
        Some((Server::start(folder.path(), &[])?, folder))
    });
    Some(common.as_ref()?.0.url())
}

/// The tests share two processors with others; how late is too late is tested apart.
const PATIENT: Duration = Duration::from_secs(20);
