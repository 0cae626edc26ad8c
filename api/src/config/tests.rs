//! What the settings are, from flags, the environment and files.

use super::*;

fn settle(arguments: &[&str]) -> Result<Settings, ConfigError> {
    let arguments = ["millrace", "serve"].iter().chain(arguments);
    let cli = Cli::read(arguments).map_err(|error| ConfigError(one_line(&error)))?;
    cli.settle().map(|(_, settings)| settings)
}

fn file(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("millrace.toml");
    std::fs::write(&path, text).unwrap();
    let path = path.display().to_string();
    (folder, path)
}

#[test]
fn the_defaults_hold_without_a_word() {
    let settings = settle(&[]).unwrap();
    assert_eq!(settings.listen.port(), 8080);
    assert_eq!(settings.currency, Currency::EUR);
    assert!(settings.demo && settings.limits.rate_limits);
    assert_eq!(settings.times.reservation_ttl, Duration::from_mins(15));
}

#[test]
fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
    let (_folder, path) =
        file("reservation_ttl = \"3s\"\ncart_idle = \"4s\"\ncart_ttl = \"5s\"\nonly = [\"carts\"]");
    let settings = settle(&["--config", &path, "--reservation-ttl", "2s"]).unwrap();
    assert_eq!(settings.times.reservation_ttl, Duration::from_secs(2));
    assert_eq!(settings.times.cart_idle, Duration::from_secs(4));
    assert_eq!(settings.times.cart_ttl, Duration::from_secs(5));
    assert_eq!(settings.only, ["carts"]);
}

#[test]
fn every_option_is_an_environment_variable_of_its_name() {
    use clap::CommandFactory as _;
    let cli = Cli::command();
    for argument in cli
        .get_arguments()
        .filter(|a| a.get_long().is_some_and(|l| l != "help"))
    {
        let Some(variable) = argument.get_env() else {
            assert_eq!(argument.get_long(), Some("version"));
            continue;
        };
        let long = argument
            .get_long()
            .unwrap()
            .to_uppercase()
            .replace('-', "_");
        assert_eq!(variable.to_str(), Some(format!("MILLRACE_{long}").as_str()));
    }
}

#[test]
fn a_wrong_value_is_refused_with_one_line_that_names_the_option() {
    let (_folder, unknown) = file("listen = \"127.0.0.1:1\"\nlisen = 3\n");
    for (arguments, named) in [
        (["--listen", "nowhere"], "--listen <ADDR>"),
        (["--reservation-ttl", "soon"], "--reservation-ttl <TIME>"),
        (["--reservation-ttl", "0s"], "`reservation-ttl`"),
        (["--currency", "XYZ"], "`currency`"),
        (["--postgres", "localhost"], "`postgres`"),
        (["--admin-password", "secret"], "`admin-password`"),
        (["--config", "/nowhere.toml"], "/nowhere.toml"),
        (["--config", &unknown], "line 2: unknown field `lisen`"),
    ] {
        let error = settle(&arguments).unwrap_err().to_string();
        assert!(error.contains(named) && !error.contains('\n'), "{error}");
    }
}

#[test]
fn names_are_separated_by_commas() {
    assert_eq!(
        settle(&["--only", "orders,carts"]).unwrap().only,
        ["orders", "carts"]
    );
}

#[test]
fn the_defaults_that_the_help_names_are_those_that_hold() {
    use clap::CommandFactory as _;
    let command = Cli::command();
    let mut told = Vec::new();
    for argument in command.get_arguments() {
        let help = argument.get_help().map(ToString::to_string);
        let help = help.unwrap_or_default();
        let Some((_, default)) = help.split_once("[default: ") else {
            continue;
        };
        let default = default.split(']').next().unwrap().to_owned();
        told.extend([format!("--{}", argument.get_long().unwrap()), default]);
    }
    assert!(told.len() > 30, "{told:?}");
    let told: Vec<_> = told.iter().map(String::as_str).collect();
    assert_eq!(settle(&told), settle(&[]));
}

#[test]
fn a_cluster_without_a_shared_registry_is_refused_where_the_log_is_opened() {
    let alone = settle(&["--kafka", "127.0.0.1:9092"]).unwrap();
    let told = alone.check_log().unwrap_err().to_string();
    assert!(told.contains("`registry`"), "{told}");
    let registry = ["--registry", "http://127.0.0.1:8081"];
    let shared = settle(&[&["--kafka", "127.0.0.1:9092"][..], &registry].concat()).unwrap();
    assert_eq!(shared.check_log(), Ok(()));
}

#[test]
fn a_market_on_a_cluster_shares_its_database_or_says_that_it_is_alone() {
    let cluster = [
        "--kafka",
        "127.0.0.1:9092",
        "--registry",
        "http://127.0.0.1:1",
    ];
    let settings = settle(&cluster).unwrap();
    let told = settings.check_serving().unwrap_err().to_string();
    assert!(
        told.contains("`postgres`") && told.contains("`single-instance`") && !told.contains('\n'),
        "{told}"
    );
    for more in [
        &["--single-instance"][..],
        &["--postgres", "postgres://a@b/c"],
    ] {
        let settings = settle(&[&cluster[..], more].concat()).unwrap();
        assert_eq!(settings.check_serving(), Ok(()));
    }
    assert_eq!(settle(&[]).unwrap().check_serving(), Ok(()));
}
