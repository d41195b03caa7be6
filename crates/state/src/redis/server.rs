//! A real redis-server for tests and benches, on a socket in a folder of its own; it ends with the process that started it.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{env, fs, thread};

/// A running redis-server.
pub(crate) struct Server {
    folder: PathBuf,
    arguments: Vec<String>,
    process: Process,
}

/// The server and the shell that watches over it.
struct Process {
    shell: Child,
    pid: u32,
}

impl Server {
    /// Starts a server that keeps nothing on disk, in an empty folder.
    ///
    /// Without the program, `None`, and a line that says so; a panic when `SENTRY_NOTICE_REQUIRE_REAL` is set.
    pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Option<Self> {
        let folder = folder.to_owned();
        let mut all = ["--port", "0", "--save", ""].map(str::to_owned).to_vec();
        all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        let Some(process) = Process::start(&folder, &all) else {
            assert!(
                env::var_os("SENTRY_NOTICE_REQUIRE_REAL").is_none(),
                "redis-server is missing; tests/setup.sh installs it"
            );
            let told = "SKIPPED: redis-server is missing; tests/setup.sh installs it";
            let _ = writeln!(std::io::stderr(), "{told}");
            return None;
        };
        Some(Self {
            folder,
            arguments: all,
            process,
        })
    }

    /// Starts a sentinel with a configuration file of its own.
    pub(crate) fn guard(folder: &Path, config: &Path, arguments: &[&str]) -> Option<Self> {
        let mut all = vec![config.display().to_string()];
        all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        all.push("--sentinel".to_owned());
        let process = Process::start(folder, &all)?;
        Some(Self {
            folder: folder.to_owned(),
            arguments: all,
            process,
        })
    }

    /// The address of the socket.
    pub(crate) fn url(&self) -> String {
        format!("unix://{}", socket(&self.folder).display())
    }

    /// Sends the server a signal, such as `KILL`, `STOP` or `CONT`.
    pub(crate) fn signal(&self, signal: &str) {
        let mut kill = Command::new("kill");
        kill.arg(format!("-{signal}"))
            .arg(self.process.pid.to_string());
        assert!(kill.status().expect("kill runs").success());
    }

    /// Kills the server at once, waits until it is gone, and leaves its folder.
    pub(crate) fn kill(&mut self) {
        self.process.end();
    }

    /// Starts the server that was killed again, with what it kept on disk if it kept anything.
    pub(crate) fn restart(&mut self) {
        self.process = Process::start(&self.folder, &self.arguments).expect("it was there before");
    }
}

impl Process {
    fn start(folder: &Path, arguments: &[String]) -> Option<Self> {
        let _ = fs::remove_file(socket(folder));
        // The shell's input ends with this process, however that ends; then so does the server.
        let mut shell = Command::new("sh");
        shell
            .args([
                "-c",
                "redis-server \"$@\" & echo $!; read end; kill -9 $!; wait",
                "sh",
            ])
            .args(arguments)
            .args(["--daemonize", "no", "--unixsocket"])
            .arg(socket(folder))
            .args(["--dir".as_ref(), folder.as_os_str()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut shell = shell.spawn().ok()?;
        let mut lines = BufReader::new(shell.stdout.take()?)
            .lines()
            .map_while(Result::ok);
        let pid = lines.next()?.parse().ok()?;
        let is_ready = lines.any(|line| {
            line.contains("eady to accept connections") || line.contains("Sentinel ID")
        });
        let process = Self { shell, pid };
        // The pipe must not fill up.
        thread::spawn(move || lines.for_each(drop));
        is_ready.then_some(process)
    }

    fn end(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("redis.sock")
}
