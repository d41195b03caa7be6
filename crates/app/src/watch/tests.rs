//! What is noticed, and how seldom.

use super::*;

#[test]
fn tells_of_an_outage_and_of_its_end_with_what_waited() {
    let mut line = Line::new();
    line.sample.spool = spool(3, 10, 10);
    line.run(10);

    line.down();
    line.sample.spool = spool(3, 10, 10);
    line.run(30);
    line.sample.spool = spool(43, 50, 10);
    line.sample.lost = 2;
    line.run(40);
    line.up();
    line.run(3);
    line.sample.spool = spool(0, 50, 52);
    line.run(10);

    let clock = line.start_clock + Duration::from_secs(10);
    let (upstream, lost) = (SENTRY.to_owned(), 2);
    let down = NoticeKind::SentryDown {
        since: clock,
        waiting: 43,
        upstream: upstream.clone(),
        lost,
    };
    let back = NoticeKind::SentryBack {
        lasted: Duration::from_secs(70),
        waited: 43,
        delivered: 42,
        upstream,
        lost,
    };
    assert_eq!(line.told, [(70, down), (85, back)]);
}

#[test]
fn what_was_lost_before_the_outage_was_noticed_counts() {
    let mut line = Line::new();
    line.sample.lost = 7;
    line.run(10);
    let since = line.now();
    // Two requests fail, seconds apart, before it is known to be one.
    for lost in [8, 9] {
        line.run(1);
        line.sample.lost = lost;
        line.run(1);
    }
    line.sample.outages.push(Outage {
        upstream: SENTRY.to_owned(),
        since,
    });
    line.sample.lost = 10;
    line.run(70);

    let NoticeKind::SentryDown { lost, .. } = &line.told[0].1 else {
        panic!("{:?}", line.told);
    };
    assert_eq!(*lost, 3);
}

#[test]
fn an_end_is_told_within_a_minute_though_much_still_waits() {
    let mut line = Line::new();
    line.down();
    line.run(100);
    line.sample.spool = spool(1_000, 1_000, 0);
    line.up();
    line.run(60);
    line.sample.spool = spool(400, 1_000, 600);
    line.run(10);

    let NoticeKind::SentryBack {
        waited, delivered, ..
    } = &line.told[1].1
    else {
        panic!("{:?}", line.told);
    };
    assert_eq!((line.told[1].0, *waited, *delivered), (160, 1_000, 600));
}

#[test]
fn each_upstream_is_told_of_for_itself() {
    let mut line = Line::new();
    line.down();
    let other = Outage {
        upstream: "https://other.example.com".to_owned(),
        since: line.now(),
    };
    line.sample.outages.push(other);
    line.run(70);

    let upstreams: Vec<&str> = line.told.iter().map(|(_, kind)| subject(kind)).collect();
    assert_eq!(upstreams, ["https://other.example.com", SENTRY]);
}

#[test]
fn the_spool_is_nearly_full_once_however_it_goes_up_and_down() {
    let mut line = Line::new();
    for percent in [79, 80, 81, 79, 61, 85, 79, 90] {
        line.fill(percent);
        line.run(60);
    }
    let first = line.told.clone();
    line.fill(50);
    line.run(3_600);
    line.fill(80);
    line.run(60);

    let full = |percent: u64| NoticeKind::SpoolNearlyFull {
        used: percent * 10,
        size: 1_000,
    };
    assert_eq!(first, [(60, full(80))]);
    assert_eq!(line.told.len(), 2, "{:?}", line.told);
}

#[test]
fn state_in_memory_alone_is_told_after_some_seconds() {
    let mut line = Line::new();
    line.sample.trouble = Some(line.now());
    line.run(9);
    line.sample.trouble = None;
    line.run(60);
    assert_eq!(line.told, []);

    line.sample.trouble = Some(line.now());
    line.run(30);
    line.sample.trouble = None;
    line.run(30);

    let backend = "redis".to_owned();
    let lasted = Duration::from_secs(30);
    assert_eq!(
        line.told,
        [
            (
                79,
                NoticeKind::StateFallback {
                    backend: backend.clone()
                }
            ),
            (104, NoticeKind::StateBack { backend, lasted })
        ]
    );
}

/// Seconds that pass, and what was told in which.
struct Line {
    conditions: Conditions,
    sample: Sample,
    start: Instant,
    start_clock: SystemTime,
    passed: u64,
    told: Vec<(u64, NoticeKind)>,
}

impl Line {
    fn new() -> Self {
        Self {
            conditions: Conditions::new(),
            sample: Sample {
                backend: "redis",
                ..Sample::default()
            },
            start: Instant::now(),
            start_clock: SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_564_800),
            passed: 0,
            told: Vec::new(),
        }
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_secs(self.passed)
    }

    fn down(&mut self) {
        let since = self.now();
        let upstream = SENTRY.to_owned();
        self.sample.outages.push(Outage { upstream, since });
    }

    fn up(&mut self) {
        self.sample.outages.clear();
    }

    fn fill(&mut self, percent: u64) {
        let counts = Counts {
            bytes: percent * 10,
            ..Counts::default()
        };
        self.sample.spool = Some((counts, 1_000));
    }

    fn run(&mut self, seconds: u64) {
        for _ in 0..seconds {
            let clock = self.start_clock + Duration::from_secs(self.passed);
            let after = Duration::from_secs(60);
            let now = self.now();
            let noticed = self.conditions.look(&self.sample, after, now, clock);
            let at = self.passed;
            self.told.extend(noticed.into_iter().map(|kind| (at, kind)));
            self.passed += 1;
        }
    }
}

fn spool(requests: u64, appended: u64, finished: u64) -> Option<(Counts, u64)> {
    let counts = Counts {
        requests,
        appended,
        finished,
        ..Counts::default()
    };
    Some((counts, 1 << 30))
}

const SENTRY: &str = "https://sentry.example.com";
