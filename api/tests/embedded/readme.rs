//! The lines of the README that buy something, run as they stand there.

use std::process::Command;

use millrace_deploy::market::Market;
use millrace_deploy::require_program;

use crate::support::options;

const README: &str = include_str!("../../../README.md");
/// Where the README's market is served.
const ADDRESS: &str = "http://127.0.0.1:8080";

/// The only block of the README that is marked as bash.
fn lines() -> &'static str {
    let (_, block) = README.split_once("```bash\n").unwrap();
    block.split_once("```").unwrap().0
}

#[test]
fn ten_lines_of_the_readme_buy_something() {
    assert_eq!(lines().matches("curl -sf").count(), 10);
    if !(require_program("bash") && require_program("curl")) {
        return;
    }
    let mut market = Market::stopped(options()).unwrap();
    market.launch().unwrap();
    let script = lines().replace(ADDRESS, &market.url());
    let script = format!("set -euo pipefail\n{script}");
    let ran = Command::new("bash").args(["-c", &script]).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(
        ran.status.success(),
        "{said}\n{}\n{}",
        String::from_utf8_lossy(&ran.stderr),
        market.log()
    );
    assert!(said.contains(r#""status":"confirmed""#), "{said}");
    assert!(said.contains(r#""payment_status":"captured""#), "{said}");
}
