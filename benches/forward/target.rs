//! What is measured, and how each target is started in front of an origin of its own.

use std::fs::Permissions;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;

use clap::ValueEnum;
use tempfile::TempDir;

use crate::Outcome;
use crate::client::Client;
use crate::origin::{Door, Origin};
use crate::payload::Payload;
use crate::peer;
use crate::process::{self, Process};
use crate::report::Report;

/// A way from the clients to the origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    /// No proxy at all
    Direct,
    /// sentry-notice with its whole pipeline
    Us,
    /// nginx, proxy_pass
    Nginx,
    /// nginx, proxy_pass and a mirror of each request
    NginxMirror,
    /// HAProxy, mode http
    Haproxy,
    /// HAProxy, mode tcp
    HaproxyTcp,
}

/// What every target needs to start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup<'a> {
    pub(crate) origin: &'a Origin,
    /// Threads or worker processes of each target.
    pub(crate) threads: usize,
}

/// A started target.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) target: Target,
    /// Where clients connect to.
    pub(crate) address: SocketAddr,
    /// None for [`Target::Direct`].
    pub(crate) process: Option<Process>,
    /// Where it forwards to.
    pub(crate) door: Door,
    /// Where metrics are served, if they are.
    pub(crate) admin: Option<SocketAddr>,
    /// Where it sends copies to, if it does.
    _mirror: Option<Door>,
}

/// The addresses in a target's configuration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) listen: SocketAddr,
    pub(crate) origin: SocketAddr,
    pub(crate) mirror: SocketAddr,
}

impl Target {
    /// Returns its name on the command line and in tables.
    pub(crate) fn name(self) -> String {
        self.to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }

    /// Leaves out what is not installed on this machine, loudly.
    pub(crate) fn installed(wanted: &[Self], report: &mut Report) -> Vec<Self> {
        let (found, missing): (Vec<Self>, Vec<Self>) = wanted.iter().partition(|target| {
            target
                .program()
                .is_none_or(|program| process::find(program).is_some())
        });
        for target in missing {
            let name = target.name();
            report.line(&format!(
                "NOT MEASURED: {name} is not installed; hint: `apt-get install nginx-light haproxy`"
            ));
        }
        found
    }

    /// Starts it on a free port in front of a new origin, and waits until it serves.
    pub(crate) async fn start(self, setup: &Setup<'_>) -> Outcome<Running> {
        self.try_start(setup)
            .await
            .map_err(|error| format!("{}: {error}", self.name()).into())
    }

    async fn try_start(self, setup: &Setup<'_>) -> Outcome<Running> {
        let door = setup.origin.open()?;
        let mirror = if self == Self::NginxMirror {
            Some(setup.origin.open()?)
        } else {
            None
        };
        let addresses = Addresses {
            listen: free_address()?,
            origin: door.address,
            mirror: mirror.as_ref().unwrap_or(&door).address,
        };
        let mut running = Running {
            target: self,
            address: addresses.listen,
            process: None,
            door,
            admin: None,
            _mirror: mirror,
        };
        match self {
            Self::Direct => running.address = running.door.address,
            Self::Us => running.launch_us(setup.threads).await?,
            Self::Nginx | Self::NginxMirror | Self::Haproxy | Self::HaproxyTcp => {
                running.launch_peer(addresses, setup.threads).await?;
            }
        }
        running.verify().await?;
        Ok(running)
    }

    /// Returns the program that must be installed.
    fn program(self) -> Option<&'static str> {
        match self {
            Self::Direct | Self::Us => None,
            Self::Nginx | Self::NginxMirror => Some("nginx"),
            Self::Haproxy | Self::HaproxyTcp => Some("haproxy"),
        }
    }

    /// Returns the configuration of a program that is not ours, and how to start it.
    fn configuration(self, addresses: &Addresses, threads: usize) -> (String, Vec<&'static str>) {
        match self {
            Self::Direct | Self::Us => (String::new(), Vec::new()),
            Self::Nginx => (peer::nginx(addresses, threads, ""), vec!["-p", ".", "-c"]),
            Self::NginxMirror => (
                peer::nginx(addresses, threads, peer::MIRROR),
                vec!["-p", ".", "-c"],
            ),
            Self::Haproxy => (peer::haproxy(addresses, threads, "http"), vec!["-db", "-f"]),
            Self::HaproxyTcp => (peer::haproxy(addresses, threads, "tcp"), vec!["-db", "-f"]),
        }
    }
}

impl Running {
    async fn launch_us(&mut self, threads: usize) -> Outcome<()> {
        let text = peer::sentry_notice(self.door.address, threads);
        let (directory, file) = directory_with(&text)?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_sentry-notice"));
        command
            .args(["run", "--config"])
            .arg(file)
            .current_dir(directory.path());
        let mut process = Process::start(&mut command, directory)?;
        self.address = process.prints("listening on http://").await?.parse()?;
        self.admin = process.prints("admin on http://").await?.parse().ok();
        self.process = Some(process);
        Ok(())
    }

    async fn launch_peer(&mut self, addresses: Addresses, threads: usize) -> Outcome<()> {
        let (text, arguments) = self.target.configuration(&addresses, threads);
        let (directory, file) = directory_with(&text)?;
        let program = self
            .target
            .program()
            .and_then(process::find)
            .ok_or("not installed")?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .arg(file)
            .current_dir(directory.path());
        let mut process = Process::start(&mut command, directory)?;
        process.accepts(addresses.listen).await?;
        self.process = Some(process);
        Ok(())
    }

    /// Sends one small and one larger request: what is not forwarded unchanged needs no measuring.
    async fn verify(&self) -> Outcome<()> {
        let mut client = Client::connect(self.address).await?;
        for payload in [Payload::Session, Payload::Error] {
            let prepared = Rc::new(payload.prepare());
            self.door.keep_bodies(true);
            client.exchange(&prepared).await?;
            let arrived = self.door.keep_bodies(false);
            let mut scratch = Vec::new();
            let (request, body) = prepared.next(&mut scratch);
            if arrived.as_deref() != Some(&request[request.len() - body..]) {
                return Err("does not forward the body unchanged".into());
            }
        }
        Ok(())
    }
}

/// Returns an address that was free a moment ago.
fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// Returns a new directory with a configuration file in it.
///
/// It is open to everyone, because nginx's workers give up root and keep large bodies there.
fn directory_with(configuration: &str) -> Outcome<(TempDir, std::path::PathBuf)> {
    let directory = tempfile::Builder::new().prefix("forward-").tempdir()?;
    std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755))?;
    let file = Path::new(directory.path()).join("proxy.toml");
    std::fs::write(&file, configuration)?;
    Ok((directory, file))
}
