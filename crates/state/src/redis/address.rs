//! Where Redis is: one server, a cluster, or whatever sentinels say.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, IntoConnectionInfo, RedisResult, TlsMode,
};

/// The address of Redis or Valkey, from a URL.
///
/// `redis://[[user]:password@]host[:port][/db]` · `unix:///path` · `redis+cluster://…@host:port,host:port` ·
/// `redis+sentinel://…@sentinel:port,sentinel:port/name[/db]`. `rediss` in the place of `redis` is TLS with the system's
/// root certificates; `valkey` and `valkeys` mean the same. `Debug` shows no password.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    url: String,
    shape: Shape,
}

/// Why a URL is no address of Redis.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadAddress(String);

/// An open connection; cheap to clone, shared by all calls.
#[derive(Clone)]
pub(super) enum Connection {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Server,
    Cluster,
    Sentinel,
}

/// The parts of a URL that names several hosts.
struct Parts<'a> {
    is_tls: bool,
    /// `user:password@`, or nothing.
    login: &'a str,
    hosts: Vec<&'a str>,
    path: Vec<&'a str>,
}

impl Address {
    /// Opens a connection.
    pub(super) async fn connect(&self, within: Duration) -> RedisResult<Connection> {
        let settings = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(within))
            // Each call has its own budget.
            .set_response_timeout(None);
        match self.shape {
            Shape::Server => {
                let client = Client::open(self.url.as_str())?;
                let connection = client.get_multiplexed_async_connection_with_config(&settings);
                Ok(Connection::Server(connection.await?))
            }
            Shape::Cluster => {
                let client = ClusterClient::builder(self.nodes()?)
                    .connection_timeout(within)
                    .response_timeout(within)
                    .retries(1)
                    .build()?;
                Ok(Connection::Cluster(client.get_async_connection().await?))
            }
            Shape::Sentinel => {
                let mut client = self.sentinels()?.build()?;
                let connection = client.get_async_connection_with_config(&settings);
                Ok(Connection::Server(connection.await?))
            }
        }
    }

    /// Returns the nodes of a cluster.
    fn nodes(&self) -> RedisResult<Vec<ConnectionInfo>> {
        let parts = Parts::of(&self.url);
        let scheme = if parts.is_tls { "rediss" } else { "redis" };
        let hosts = parts.hosts.iter();
        hosts
            .map(|host| format!("{scheme}://{}{host}", parts.login).into_connection_info())
            .collect()
    }

    fn sentinels(&self) -> RedisResult<SentinelClientBuilder> {
        let parts = Parts::of(&self.url);
        let name = parts.path.first().copied().unwrap_or_default();
        let db = parts.path.get(1).copied().unwrap_or("0");
        let scheme = if parts.is_tls { "rediss" } else { "redis" };
        let hosts = parts.hosts.iter();
        let sentinels: RedisResult<Vec<ConnectionInfo>> = hosts
            .map(|host| format!("{scheme}://{host}").into_connection_info())
            .collect();
        let sentinels = sentinels?.into_iter().map(|host| host.addr().clone());
        // The login is for the servers that the sentinels name.
        let server = format!("redis://{}localhost/{db}", parts.login).into_connection_info()?;
        let server = server.redis_settings();
        let mut builder = SentinelClientBuilder::new(sentinels, name, SentinelServerType::Master)?
            .set_client_to_redis_db(server.db());
        if let Some(username) = server.username() {
            builder = builder.set_client_to_redis_username(username);
        }
        if let Some(password) = server.password() {
            builder = builder.set_client_to_redis_password(password);
        }
        if parts.is_tls {
            builder = builder
                .set_client_to_redis_tls_mode(TlsMode::Secure)
                .set_client_to_sentinel_tls_mode(TlsMode::Secure);
        }
        Ok(builder)
    }
}

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(url: &str) -> Result<Self, BadAddress> {
        let Some((scheme, _)) = url.split_once("://") else {
            return Err(bad("is no URL, such as `redis://127.0.0.1:6379`"));
        };
        let (base, shape) = match scheme.split_once('+') {
            None => (scheme, Shape::Server),
            Some((base, "cluster")) => (base, Shape::Cluster),
            Some((base, "sentinel")) => (base, Shape::Sentinel),
            Some(_) => return Err(bad(format!("has an unknown scheme, `{scheme}`"))),
        };
        let is_known = matches!(base, "redis" | "rediss" | "valkey" | "valkeys")
            || (base == "unix" && shape == Shape::Server);
        if !is_known {
            return Err(bad(format!("has an unknown scheme, `{scheme}`")));
        }
        let address = Self {
            url: url.to_owned(),
            shape,
        };
        address.check()?;
        Ok(address)
    }
}

impl Address {
    fn check(&self) -> Result<(), BadAddress> {
        let unreadable = |_| bad("cannot be read as an address of Redis");
        match self.shape {
            Shape::Server => drop(Client::open(self.url.as_str()).map_err(unreadable)?),
            Shape::Cluster => {
                if !Parts::of(&self.url).path.is_empty() {
                    return Err(bad("names a database, and a cluster has only one"));
                }
                drop(self.nodes().map_err(unreadable)?);
            }
            Shape::Sentinel => {
                if Parts::of(&self.url).path.is_empty() {
                    return Err(bad("lacks the name of the master: `…/mymaster`"));
                }
                drop(self.sentinels().map_err(unreadable)?);
            }
        }
        Ok(())
    }
}

impl<'a> Parts<'a> {
    fn of(url: &'a str) -> Self {
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        let (rest, _) = rest.split_once('?').unwrap_or((rest, ""));
        // A password may hold a slash only as `%2F`, as everywhere in URLs.
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let at = authority.rfind('@').map_or(0, |at| at + 1);
        let (login, hosts) = authority.split_at(at);
        Self {
            is_tls: scheme.starts_with("rediss") || scheme.starts_with("valkeys"),
            login,
            hosts: hosts.split(',').collect(),
            path: path.split('/').filter(|part| !part.is_empty()).collect(),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Writes the URL without the login.
impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = Parts::of(&self.url);
        let (scheme, _) = self.url.split_once("://").unwrap_or_default();
        let login = if parts.login.is_empty() {
            ""
        } else {
            "[redacted]@"
        };
        write!(formatter, "{scheme}://{login}{}", parts.hosts.join(","))?;
        parts
            .path
            .iter()
            .try_for_each(|part| write!(formatter, "/{part}"))
    }
}

impl redis::aio::ConnectionLike for Connection {
    fn req_packed_command<'a>(
        &'a mut self,
        command: &'a redis::Cmd,
    ) -> redis::RedisFuture<'a, redis::Value> {
        match self {
            Self::Server(connection) => connection.req_packed_command(command),
            Self::Cluster(connection) => connection.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a redis::Pipeline,
        offset: usize,
        count: usize,
    ) -> redis::RedisFuture<'a, Vec<redis::Value>> {
        match self {
            Self::Server(connection) => connection.req_packed_commands(pipeline, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Server(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}

fn bad(what: impl Into<String>) -> BadAddress {
    BadAddress(what.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_shape_and_shows_no_password() {
        let urls = [
            ("redis://127.0.0.1:6379/2", "redis://127.0.0.1:6379/2"),
            ("rediss://:pw@cache:6380", "rediss://[redacted]@cache:6380"),
            ("valkey://u:p@cache", "valkey://[redacted]@cache"),
            ("unix:///run/redis.sock", "unix:///run/redis.sock"),
            (
                "redis+cluster://u:p@a:7000,b:7001",
                "redis+cluster://[redacted]@a:7000,b:7001",
            ),
            (
                "rediss+sentinel://:p@a:26379,b/mymaster/3",
                "rediss+sentinel://[redacted]@a:26379,b/mymaster/3",
            ),
        ];

        for (url, shown) in urls {
            let address: Address = url.parse().unwrap_or_else(|error| panic!("{url}: {error}"));
            assert_eq!(format!("{address:?}"), shown);
        }
    }

    #[test]
    fn says_what_is_wrong_with_others() {
        let urls = [
            ("127.0.0.1:6379", "is no URL"),
            ("http://cache", "unknown scheme"),
            ("redis+ring://cache", "unknown scheme"),
            ("redis+sentinel://a:26379", "lacks the name of the master"),
            ("redis+cluster://a:7000/1", "a cluster has only one"),
            ("redis://cache:port", "cannot be read"),
        ];

        for (url, what) in urls {
            let error = url.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(what), "{url}: {error}");
        }
    }
}
