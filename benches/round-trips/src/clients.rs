//! The contenders: this crate, and the same calls written with ureq and reqwest. Each has its defaults, except that it
//! trusts the server's certificate and ignores the environment's proxies.

use handinger::HandingerClient;
use handinger::ureq::Agent;
use handinger::ureq::tls::{Certificate, RootCerts, TlsConfig};

const KEY: &str = "hnd_bench";
const WORKER: &str = "wrk_1";
const HOOK: &str = "https://example.com/hook";

pub(crate) struct Target {
    pub(crate) base_url: String,
    /// The certificate to trust, in DER.
    pub(crate) certificate: Vec<u8>,
}

#[derive(Clone, Copy)]
pub(crate) enum Call {
    Retrieve,
    Update,
    Delete,
    Regenerate,
    Page,
}

/// Makes a call and reads its response to the end; panics if that fails.
pub(crate) type Client = Box<dyn Fn(Call)>;

pub(crate) fn handinger(target: &Target) -> Client {
    let tls = tls(target);
    let builder = HandingerClient::builder(KEY).base_url(&target.base_url);
    let client = builder.ureq_config(|config| config.tls_config(tls)).build().unwrap();
    Box::new(move |call| match call {
        Call::Retrieve => drop(client.retrieve_webhook(WORKER).unwrap()),
        Call::Update => drop(client.update_webhook(WORKER, HOOK).unwrap()),
        Call::Delete => drop(client.delete_webhook(WORKER).unwrap()),
        Call::Regenerate => drop(client.regenerate_token(WORKER).unwrap()),
        Call::Page => drop(client.list_executions(WORKER, 1).unwrap()),
    })
}

pub(crate) fn ureq(target: &Target) -> Client {
    let agent = Agent::config_builder().tls_config(tls(target)).proxy(None).build().new_agent();
    let base_url = target.base_url.clone();
    Box::new(move |call| {
        let url = call.url(&base_url);
        let key = format!("Bearer {KEY}");
        let response = match call {
            Call::Retrieve | Call::Page => agent.get(url).header("Authorization", key).call(),
            Call::Update => agent.put(url).header("Authorization", key).send(update()),
            Call::Delete => agent.delete(url).header("Authorization", key).call(),
            Call::Regenerate => agent.post(url).header("Authorization", key).send_empty(),
        };
        response.unwrap().body_mut().read_to_vec().unwrap();
    })
}

pub(crate) fn reqwest(target: &Target) -> Client {
    let certificate = reqwest::Certificate::from_der(&target.certificate).unwrap();
    let client =
        reqwest::blocking::Client::builder().add_root_certificate(certificate).no_proxy().build().unwrap();
    let base_url = target.base_url.clone();
    Box::new(move |call| {
        let url = call.url(&base_url);
        let request = match call {
            Call::Retrieve | Call::Page => client.get(url),
            Call::Update => client.put(url).body(update()),
            Call::Delete => client.delete(url),
            Call::Regenerate => client.post(url),
        };
        request.bearer_auth(KEY).send().unwrap().error_for_status().unwrap().bytes().unwrap();
    })
}

/// ureq's settings for TLS, with the one root that is trusted.
fn tls(target: &Target) -> TlsConfig {
    let certificate = Certificate::from_der(&target.certificate).to_owned();
    TlsConfig::builder().root_certs(RootCerts::new_with_certs(&[certificate])).build()
}

fn update() -> String {
    format!(r#"{{"url":"{HOOK}"}}"#)
}

impl Call {
    fn url(self, base_url: &str) -> String {
        let path = match self {
            Self::Retrieve | Self::Update | Self::Delete => "",
            Self::Regenerate => "/regenerate-token",
            Self::Page => "/executions?page=1",
        };
        format!("{base_url}/api/workers/{WORKER}/webhook{path}")
    }
}
