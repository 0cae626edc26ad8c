//! Stand-ins for the outside where none is configured.

use std::path::{Path, PathBuf};
use std::{fs, io};

use axum::http::HeaderMap;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::json;

use crate::accounts::mail::{Mail, Mailer};
use crate::file;
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
    fs::create_dir_all(folder)?;
    let text = json!({ "to": mail.recipient, "template": mail.template, "data": mail.body });
    let name = format!("{}.json", mail.id);
    file::replace(folder, &name, text.to_string().as_bytes())
}
