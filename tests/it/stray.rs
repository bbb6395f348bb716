//! A second response to one request is never taken for the response to a later change, and with
//! `reuse_connections(false)` not for that to a later read.

use std::thread;
use std::time::{Duration, Instant};

use handinger::{Error, HandingerClient, UpdateWebhook, Webhook};
use ureq::Agent;

use crate::support::{Connection, Server, WEBHOOK, builder, response};

/// The id of the worker in the path of a request.
fn worker_id(request: &str) -> &str {
    request.split('/').nth(3).unwrap()
}

/// The response to a request about this worker.
fn response_for(worker_id: &str) -> Vec<u8> {
    response(200, format!(r#"{{"url":"https://example.com/{worker_id}","token":"whk_{worker_id}"}}"#))
}

/// Whether a webhook is that of the request.
fn assert_is_of(worker_id: &str, webhook: &Webhook) {
    assert_eq!(webhook.url.as_deref(), Some(&*format!("https://example.com/{worker_id}")));
    assert_eq!(webhook.token.as_ref().unwrap().as_str(), format!("whk_{worker_id}"));
}

/// Sends every response twice: the second one when the next request on the connection has come, as if it had been on its
/// way for that long.
fn one_response_behind(connection: &mut Connection) {
    let mut stray = None;
    while let Some(request) = connection.request() {
        let own = response_for(worker_id(&request));
        connection.send(stray.replace(own.clone()).unwrap_or(own));
    }
}

/// Sends every response a second time after up to a millisecond.
fn twice(number: usize, connection: &mut Connection) {
    let mut delay = u64::try_from(number).unwrap();
    while let Some(request) = connection.request() {
        let response = response_for(worker_id(&request));
        connection.send(&response);
        delay = (delay * 7 + 37) % 1000;
        let start = Instant::now();
        while start.elapsed() < Duration::from_micros(delay) {
            thread::yield_now();
        }
        connection.send(&response);
    }
}

type Change = fn(&HandingerClient, &str) -> Result<Webhook, Error>;

const CHANGES: [(&str, Change); 4] = [
    ("update", |client, id| client.update_webhook(id, "https://example.com/hook")),
    ("clear", |client, id| client.update_webhook(id, UpdateWebhook::clear())),
    ("delete", |client, id| client.delete_webhook(id)),
    ("regenerate", |client, id| client.regenerate_token(id)),
];

/// Clients with an agent of their own and with a caller's, whose pool is larger.
fn clients(server: &Server, reuse: bool) -> [HandingerClient; 2] {
    let agent =
        Agent::config_builder().proxy(None).max_idle_age(Duration::from_secs(3600)).build().new_agent();
    let builder = || builder(server.base_url()).max_retries(0).reuse_connections(reuse);
    [builder().build().unwrap(), builder().agent(agent).build().unwrap()]
}

#[test]
fn a_change_never_returns_the_stray_response_to_an_earlier_request() {
    let behind = Server::start(|_, connection| one_response_behind(connection));
    let twice = Server::start(twice);
    for server in [behind, twice] {
        for client in clients(&server, true) {
            for round in 0..25 {
                for (name, change) in CHANGES {
                    // Whether this one succeeds does not matter: it leaves a connection with a stray response.
                    let _ = client.retrieve_webhook(&format!("read_{round}"));
                    let id = format!("{name}_{round}");
                    assert_is_of(&id, &change(&client, &id).unwrap());
                }
            }
        }
    }
}

#[test]
fn without_reuse_a_read_never_returns_the_stray_response_to_an_earlier_request() {
    let behind = Server::start(|_, connection| one_response_behind(connection));
    let twice = Server::start(twice);
    for server in [behind, twice] {
        for client in clients(&server, false) {
            for round in 0..25 {
                let id = format!("read_{round}");
                assert_is_of(&id, &client.retrieve_webhook(&id).unwrap());
            }
            for (name, change) in CHANGES {
                assert_is_of(name, &change(&client, name).unwrap());
            }
        }
        let requests = server.requests();
        assert_eq!((requests.len(), server.connections()), (58, 58));
        for request in requests {
            assert!(request.to_lowercase().contains("\r\nconnection: close\r\n"), "{request}");
        }
    }
}

/// What `HandingerClient` documents of reads. If this fails, the client has become better than its documentation.
#[test]
fn with_reuse_a_read_can_return_a_stray_response_that_was_on_its_way() {
    let server = Server::start(|_, connection| one_response_behind(connection));
    for client in clients(&server, true) {
        assert_is_of("first", &client.retrieve_webhook("first").unwrap());
        assert_is_of("first", &client.retrieve_webhook("second").unwrap());
    }
    assert!(server.requests().iter().all(|request| !request.to_lowercase().contains("\r\nconnection:")));
}

#[test]
fn without_reuse_a_connection_that_the_agent_has_kept_is_not_used_either() {
    let server = Server::responding([response(200, WEBHOOK)]);
    let agent = Agent::config_builder().proxy(None).build().new_agent();
    agent.get(server.base_url()).call().unwrap().body_mut().read_to_string().unwrap();
    let client = builder(server.base_url()).agent(agent).reuse_connections(false).build().unwrap();
    client.retrieve_webhook("wrk_1").unwrap();
    assert_eq!(server.connections(), 2);
}
