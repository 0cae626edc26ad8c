//! A server goes on when nobody reads what it prints.

use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::support::{ADMIN, millrace};

/// How long a start may take.
const START: Duration = Duration::from_secs(60);

/// A process that ends with its test.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn free_address() -> String {
    let port = TcpListener::bind("127.0.0.1:0").expect("a port");
    port.local_addr().expect("an address").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_output_nobody_reads_serves() {
    let (folder, address) = (tempfile::tempdir().expect("a folder"), free_address());
    let mut command = millrace(&["serve", "--no-demo", "--listen", &address]);
    command
        .env("MILLRACE_DATA", folder.path())
        .env("MILLRACE_ADMIN_EMAIL", ADMIN)
        .env("RUST_LOG", "debug")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut served = Served(command.spawn().expect("the binary runs"));
    drop((served.0.stdout.take(), served.0.stderr.take()));
    let url = format!("http://{address}/readyz");
    let ready = async {
        loop {
            let ended = served.0.try_wait().expect("a child");
            assert_eq!(ended, None, "it ended by itself");
            if reqwest::get(&url).await.is_ok_and(|it| it.status() == 200) {
                return;
            }
            // A pause between two looks at the condition.
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(START, ready).await.expect("a market that is ready");
}
