//! Directories that a spool can be opened in, and those that it cannot.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use spool::{Config, OpenError, Queue};

use crate::failing::Failing;
use crate::support::{config, open};

#[test]
fn makes_the_directory_and_its_parent_and_no_more() {
    let dir = tempfile::tempdir().unwrap();

    Queue::open(Config::new(dir.path().join("data/spool"))).unwrap();
    let error = Queue::open(Config::new(dir.path().join("a/b/c"))).unwrap_err();

    let OpenError::Missing { parent, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(parent, &dir.path().join("a"));
    assert!(!dir.path().join("a").exists());
    assert!(error.hint().contains("make the directory"));
}

#[test]
fn takes_an_empty_directory_and_keeps_others_out() {
    let dir = tempfile::tempdir().unwrap();
    let spool = dir.path().join("spool");
    fs::create_dir(&spool).unwrap();
    fs::set_permissions(&spool, fs::Permissions::from_mode(0o755)).unwrap();

    open(dir.path());

    let mode = fs::metadata(&spool).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn refuses_a_directory_of_others() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("holiday.jpg"), b"x").unwrap();

    let error = Queue::open(Config::new(dir.path())).unwrap_err();

    assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
    assert!(error.to_string().contains("holiday.jpg"));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn refuses_a_second_opener_and_names_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path());

    let error = Queue::open(config(dir.path())).unwrap_err();

    let own = std::process::id().to_string();
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    assert!(error.to_string().contains(&own), "{error}");
    drop(first);
    open(dir.path());
}

#[test]
fn refuses_a_file() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("spool"), b"x").unwrap();

    let error = Queue::open(config(dir.path())).unwrap_err();

    assert!(matches!(error, OpenError::NotADirectory(_)), "{error}");
}

#[test]
fn says_what_keeps_it_from_writing() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path());
    let with = |kind: ErrorKind| {
        let fs = Failing::default();
        *fs.lock.lock().unwrap() = Some(kind);
        Queue::open_on(config(dir.path()), Arc::new(fs)).unwrap_err()
    };

    let read_only = with(ErrorKind::ReadOnlyFilesystem);
    let forbidden = with(ErrorKind::PermissionDenied);
    let other = with(ErrorKind::StorageFull);

    assert!(matches!(read_only, OpenError::ReadOnly(_)), "{read_only}");
    assert!(matches!(forbidden, OpenError::Forbidden(_)), "{forbidden}");
    assert!(matches!(other, OpenError::Io { .. }), "{other}");
    for error in [read_only, forbidden, other] {
        assert!(!error.hint().is_empty());
    }
}

#[test]
fn makes_nothing_where_nothing_can_be_made() {
    // /proc takes no directories, whoever asks.
    let error = Queue::open(Config::new("/proc/spool")).unwrap_err();

    assert!(!matches!(error, OpenError::Foreign { .. }), "{error}");
    assert!(!Path::new("/proc/spool").exists());
}
