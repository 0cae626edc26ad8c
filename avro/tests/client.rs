//! The schema client against registries behind real HTTP: the embedded one, and Apicurio Registry,
//! or the one whose address is in `MILLRACE_TEST_REGISTRY` (such as
//! `http://localhost:8080/apis/ccompat/v7`).

#![allow(
    clippy::disallowed_methods,
    reason = "a test serves the registry from threads of its own"
)]

mod support;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use millrace_avro::codec::SchemaClient;
use millrace_avro::event::{Event, EventId, Meta};
use millrace_avro::registry::Registry;
use millrace_avro::{avro_data, avro_record};
use millrace_deploy::require;
use millrace_streams::Timestamp;
use millrace_streams::serde::{Data, Resources, Role, SerdeContext, SerdeError};
use serde::{Deserialize, Serialize};
use support::*;

/// Serves `registry` on a free port, one thread a connection, and counts requests.
struct Server {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl Server {
    fn start(registry: Registry) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            requests: Arc::default(),
        };
        let (registry, requests) = (Arc::new(registry), server.requests.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (registry, requests) = (registry.clone(), requests.clone());
                std::thread::spawn(move || serve(&stream, &registry, &requests).ok());
            }
        });
        server
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn serve(stream: &TcpStream, registry: &Registry, requests: &AtomicUsize) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut words = line.split_whitespace();
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let mut body = vec![0; content_length(&mut reader)?];
        reader.read_exact(&mut body)?;
        requests.fetch_add(1, Ordering::Relaxed);
        let (status, answer) = registry.handle(method, path, &body);
        answer_with(stream, status, &answer.to_string())?;
    }
}

fn content_length(reader: &mut impl BufRead) -> io::Result<usize> {
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        if header.trim().is_empty() {
            return Ok(length);
        }
        let (name, value) = header.split_once(':').unwrap();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap();
        }
    }
}

fn answer_with(mut stream: &TcpStream, status: u16, body: &str) -> io::Result<()> {
    let len = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} -\r\ncontent-type: application/json\r\ncontent-length: {len}\r\n\r\n{body}"
    )
}

/// A topic of its own for each run, as a registry elsewhere remembers earlier ones.
fn fresh_topic() -> String {
    format!("client-test-{}", EventId::random())
}

fn serde_in<T: Data>(resources: &Resources, topic: &str) -> Result<T::Serde, SerdeError> {
    let role = Role::Value;
    T::serde(&SerdeContext {
        topic,
        role,
        resources,
    })
}

/// What every registry must do for the client.
fn serves_the_client(url: &str) {
    events_and_contracts_are_served(url);
    an_older_contract_is_resolved(url);
    the_next_address_is_tried_when_one_is_down(url);
    several_processes_may_begin_at_once(url);
    a_serde_may_be_built_inside_an_async_runtime(url);
}

fn events_and_contracts_are_served(url: &str) {
    use millrace_streams::headers::HeaderList;
    use millrace_streams::serde::Serde;

    let topic = fresh_topic();
    let client = || with_client(SchemaClient::http(url).unwrap());
    let (writer, reader) = (client(), client());
    let event = Event::<OrderEvent>::new(
        Meta::new(EventId::new("e"), "/t", Timestamp::from_millis(1)),
        placed(),
    );
    let (mut bytes, mut headers) = (Vec::new(), HeaderList::new());
    let mut serde = serde_in::<Event<OrderEvent>>(&writer, &topic).unwrap();
    serde.serialize(&event, &mut headers, &mut bytes).unwrap();
    let mut serde = serde_in::<Event<OrderEvent>>(&reader, &topic).unwrap();
    assert_eq!(serde.deserialize(Some(&bytes), headers.view()), Ok(event));

    unknown_types_and_ids_are_told_apart(&reader, &topic, &writer);
    an_incompatible_contract_is_refused(&writer, &topic);
}

fn unknown_types_and_ids_are_told_apart(reader: &Resources, topic: &str, writer: &Resources) {
    use millrace_streams::headers::HeaderList;
    use millrace_streams::serde::Serde;

    let cancelled = Cancelled {
        order: "o".into(),
        at: 1,
    };
    let mut bytes = Vec::new();
    let mut serde = serde_in::<Cancelled>(writer, topic).unwrap();
    let mut headers = HeaderList::new();
    serde
        .serialize(&cancelled, &mut headers, &mut bytes)
        .unwrap();
    let mut serde = serde_in::<Event<OldOrderEvent>>(reader, topic).unwrap();
    let name = "test.Cancelled".to_owned();
    let unknown = Err(SerdeError::UnknownType { name });
    assert_eq!(serde.deserialize(Some(&bytes), headers.view()), unknown);
    let far = [0, 0x7f, 0xff, 0xff, 0xf0, 1];
    let result = serde.deserialize(Some(&far), headers.view());
    assert!(
        matches!(result, Err(SerdeError::Malformed { .. })),
        "{result:?}"
    );
}

#[derive(Debug, Serialize, Deserialize)]
struct Cancelled2 {
    order: i64,
}
avro_record!(Cancelled2 = "test.Cancelled", schema r#"{
    "type": "record", "name": "Cancelled", "namespace": "test",
    "fields": [{"name": "order", "type": "long"}]
}"#);
avro_data!(Cancelled2);

fn an_incompatible_contract_is_refused(resources: &Resources, topic: &str) {
    let result = serde_in::<Cancelled2>(resources, topic).map(drop);
    match result {
        Err(SerdeError::Malformed {
            what: "test.Cancelled",
            reason,
        }) => {
            assert!(reason.contains(topic), "{reason}");
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Cancelled3 {
    by: String,
    order: String,
}
avro_record!(Cancelled3 = "test.Cancelled", schema r#"{
    "type": "record", "name": "Cancelled", "namespace": "test", "fields": [
        {"name": "by", "type": "string", "default": "customer"},
        {"name": "order", "type": "string"}
    ]
}"#);
avro_data!(Cancelled3);

fn an_older_contract_is_resolved(url: &str) {
    use millrace_streams::headers::HeaderList;
    use millrace_streams::serde::Serde;

    let topic = fresh_topic();
    let client = || with_client(SchemaClient::http(url).unwrap());
    let order = || "o".to_owned();
    let (mut bytes, mut headers) = (Vec::new(), HeaderList::new());
    let older = Cancelled {
        order: order(),
        at: 1,
    };
    let mut serde = serde_in::<Cancelled>(&client(), &topic).unwrap();
    serde.serialize(&older, &mut headers, &mut bytes).unwrap();
    let mut serde = serde_in::<Cancelled3>(&client(), &topic).unwrap();
    let (order, by) = (order(), "customer".into());
    let newer = serde.deserialize(Some(&bytes), headers.view());
    assert_eq!(newer, Ok(Cancelled3 { by, order }));
}

#[test]
fn the_embedded_registry_serves_the_client() {
    serves_the_client(&Server::start(Registry::in_memory()).url());
}

#[test]
fn another_registry_serves_the_client() {
    if let Ok(url) = std::env::var("MILLRACE_TEST_REGISTRY") {
        return serves_the_client(&url);
    }
    let registry = require!(millrace_deploy::Registry);
    serves_the_client(&registry.url());
}

#[test]
fn ids_are_asked_for_once() {
    let server = Server::start(Registry::in_memory());
    let resources = with_client(SchemaClient::http(&*server.url()).unwrap());
    for _ in 0..3 {
        serde::<Event<OrderEvent>>(&resources).unwrap();
        let result = read::<Placed>(&resources, &[0, 0, 0, 0, 99, 1], &Default::default());
        assert!(
            matches!(result, Err(SerdeError::Malformed { .. })),
            "{result:?}"
        );
    }
    // Two types registered, after a look at their levels; one unknown id.
    assert_eq!(server.requests.load(Ordering::Relaxed), 5);
}

#[test]
fn a_subject_is_made_strict_where_the_registry_is_lax() {
    let lax = Registry::in_memory();
    let body = br#"{"compatibility": "NONE"}"#;
    assert_eq!(lax.handle("PUT", "/config", body).0, 200);
    let server = Server::start(lax);
    let client = || with_client(SchemaClient::http(&*server.url()).unwrap());
    let topic = fresh_topic();
    serde_in::<Cancelled>(&client(), &topic).unwrap();
    an_incompatible_contract_is_refused(&client(), &topic);
}

#[test]
fn a_registry_that_is_down_is_worth_another_try() {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let resources = with_client(SchemaClient::http(&*format!("http://{free}")).unwrap());
    let result = serde::<Placed>(&resources).map(drop);
    assert!(
        matches!(result, Err(SerdeError::Unavailable { .. })),
        "{result:?}"
    );
}

#[test]
fn a_404_of_something_else_is_no_proof_that_the_id_is_unknown() {
    let server = Server::start(Registry::in_memory());
    let elsewhere = format!("{}/some/proxy", server.url());
    let client = with_client(SchemaClient::http(&*elsewhere).unwrap());
    let result = serde::<Placed>(&client).map(drop);
    assert!(
        matches!(result, Err(SerdeError::Unavailable { .. })),
        "{result:?}"
    );
}

fn the_next_address_is_tried_when_one_is_down(url: &str) {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let both = format!("http://{free}, {url}/");
    let resources = with_client(SchemaClient::http(&*both).unwrap());
    serde_in::<Placed>(&resources, &fresh_topic()).unwrap();
}

fn several_processes_may_begin_at_once(url: &str) {
    for _ in 0..20 {
        let topic = fresh_topic();
        let clients: Vec<_> = (0..4)
            .map(|_| with_client(SchemaClient::http(url).unwrap()))
            .collect();
        std::thread::scope(|scope| {
            for client in &clients {
                scope.spawn(|| {
                    serde_in::<Event<OrderEvent>>(client, &topic).unwrap();
                });
            }
        });
    }
}

fn a_serde_may_be_built_inside_an_async_runtime(url: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let resources = with_client(SchemaClient::http(url).unwrap());
        serde_in::<Placed>(&resources, &fresh_topic()).unwrap();
    });
}
