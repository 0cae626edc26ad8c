//! Stand-ins for the outside where none is configured.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use axum::http::HeaderMap;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::json;

use crate::accounts::mail::{Mail, Mailer};
use crate::ports::{Gateways, Webhook, WebhookError};

/// No payment gateway: every webhook is of an unknown one.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoGateways;

impl Gateways for NoGateways {
    fn webhook(&self, _: &str, _: &HeaderMap, _: &[u8]) -> Result<Option<Webhook>, WebhookError> {
        Err(WebhookError::UnknownGateway)
    }
}

/// Puts mails into a folder, one file each, readable by the owner only: for machines without a
/// mail server. A mail that is sent again replaces its file.
#[derive(Clone, Debug)]
pub struct MailFolder {
    folder: PathBuf,
}

impl MailFolder {
    /// Mails in `folder`, which is made when the first one comes.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }
}

impl Mailer for MailFolder {
    fn send(&self, mail: Mail) -> BoxFuture<'static, Result<(), String>> {
        let folder = self.folder.clone();
        let written = tokio::task::spawn_blocking(move || write(&folder, &mail));
        written
            .map(|written| match written {
                Ok(written) => written.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            })
            .boxed()
    }
}

fn write(folder: &Path, mail: &Mail) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    fs::create_dir_all(folder)?;
    let path = folder.join(format!("{}.json", mail.id));
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    let text = json!({ "to": mail.recipient, "template": mail.template, "data": mail.body });
    file.write_all(text.to_string().as_bytes())?;
    file.sync_all()
}
