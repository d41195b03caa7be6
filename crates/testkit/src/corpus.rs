//! Loads captured requests of real SDKs: an optional corpus beside the checkout, `../shared/corpus`.
//!
//! One file per request: `{"method", "target", "http_version", "headers": [[name, value]], "framing", "body_base64", "expect"}`.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use crate::sdk::SdkRequest;

/// Why a captured request could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// A directory or file could not be read.
    #[error("could not read `{0}`")]
    Unreadable(PathBuf, #[source] io::Error),
    /// A file is not a captured request.
    #[error("`{0}` is not a captured request")]
    NotARequest(PathBuf, #[source] serde_json::Error),
    /// A body is not base64.
    #[error("the body in `{0}` is not base64")]
    NotABody(PathBuf, #[source] base64::DecodeError),
}

/// A directory with captured requests.
#[derive(Clone, Debug)]
pub struct Corpus {
    directory: PathBuf,
}

impl Corpus {
    /// Finds the corpus: `$SENTRY_NOTICE_CORPUS`, or `shared/corpus` in the working directory or one above it.
    ///
    /// A test that gets nothing says `skipped: ../shared/corpus not found` on stderr and passes.
    pub fn find() -> Option<Self> {
        if let Some(directory) = env::var_os("SENTRY_NOTICE_CORPUS") {
            return Self::at(Path::new(&directory));
        }
        let here = env::current_dir().ok()?;
        here.ancestors()
            .find_map(|above| Self::at(&above.join("shared").join("corpus")))
    }

    /// Returns the corpus in this directory, if there is one.
    pub fn at(directory: &Path) -> Option<Self> {
        directory.join("sdk").is_dir().then(|| Self {
            directory: directory.to_owned(),
        })
    }

    /// Returns the directory, for the other parts of the corpus.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Loads the captured requests, sorted by name.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or is not a captured request.
    pub fn requests(&self) -> Result<Vec<CorpusRequest>, CorpusError> {
        let root = self.directory.join("sdk");
        let mut requests = Vec::new();
        for sdk in entries(&root)? {
            for file in entries(&sdk)? {
                requests.push(CorpusRequest::load(&file, &root)?);
            }
        }
        Ok(requests)
    }
}

/// A captured request of a real SDK.
#[derive(Clone, Debug)]
pub struct CorpusRequest {
    /// SDK and file: `sentry-node-11.12.0/02-event-error-….json`.
    pub name: String,
    /// Method.
    pub method: String,
    /// Request target.
    pub target: String,
    /// `HTTP/1.1` or `HTTP/2`.
    pub http_version: String,
    /// Header lines in the order of the wire; of HTTP/2 requests with the pseudo headers.
    pub headers: Vec<(String, String)>,
    /// `length`, `chunked` or `none`.
    pub framing: String,
    /// Body without framing.
    pub body: Bytes,
    /// What a reader of the event should find.
    pub expect: Value,
}

impl CorpusRequest {
    /// Returns the request to be sent again over HTTP/1.1, with the original header lines; pseudo headers are left out.
    pub fn to_request(&self) -> SdkRequest {
        let request = SdkRequest::new(&self.method, &self.target).body(self.body.clone());
        self.headers
            .iter()
            .filter(|(name, _)| !name.starts_with(':'))
            .fold(request, |request, (name, value)| {
                request.header(name.as_str(), value.clone())
            })
    }

    fn load(file: &Path, root: &Path) -> Result<Self, CorpusError> {
        let text = fs::read(file).map_err(|error| CorpusError::Unreadable(file.into(), error))?;
        let captured: Captured = serde_json::from_slice(&text)
            .map_err(|error| CorpusError::NotARequest(file.into(), error))?;
        let body = STANDARD
            .decode(captured.body_base64)
            .map_err(|error| CorpusError::NotABody(file.into(), error))?;
        Ok(Self {
            name: file
                .strip_prefix(root)
                .unwrap_or(file)
                .display()
                .to_string(),
            method: captured.method,
            target: captured.target,
            http_version: captured.http_version,
            headers: captured.headers,
            framing: captured.framing,
            body: body.into(),
            expect: captured.expect,
        })
    }
}

#[derive(Deserialize)]
struct Captured {
    method: String,
    target: String,
    http_version: String,
    headers: Vec<(String, String)>,
    framing: String,
    body_base64: String,
    expect: Value,
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, CorpusError> {
    let unreadable = |error| CorpusError::Unreadable(directory.into(), error);
    let mut paths = fs::read_dir(directory)
        .and_then(|entries| {
            entries
                .map(|entry| entry.map(|entry| entry.path()))
                .collect::<io::Result<Vec<_>>>()
        })
        .map_err(unreadable)?;
    paths.sort();
    Ok(paths)
}
