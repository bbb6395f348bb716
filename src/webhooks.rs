//! The five endpoints.

use ureq::http::Method;

use crate::agent::LONGEST_LINE;
use crate::client::Call;
use crate::{Error, HandingerClient, UpdateWebhook, Webhook, WebhookExecutionList};

const WEBHOOK: &str = "/webhook";

/// The five calls. Each takes the id of a worker, which must be neither empty nor `.` nor `..` nor longer than 1 KiB;
/// whatever is in it is percent-encoded. Only the creator of a worker may make them (others get 403). They fail alike:
/// the tables in the [crate's documentation](crate#errors-and-retries) say how, and what was tried again before.
impl HandingerClient {
    /// Retrieves the webhook of a worker; both fields are `None` if it has none.
    ///
    /// # Errors
    ///
    /// See [`ErrorKind`](crate::ErrorKind). Tried again after any failure that may pass.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # let client = fake.client();
    /// let webhook = client.retrieve_webhook("wrk_1")?;
    /// assert_eq!(webhook.url, None);
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn retrieve_webhook(&self, worker_id: &str) -> Result<Webhook, Error> {
        self.send(&Call::new(Method::GET, "retrieve webhook", worker_id, WEBHOOK))
    }

    /// Sets, replaces or removes the webhook's URL.
    ///
    /// The first URL brings a new token with it; later ones keep it. `None`, or [`UpdateWebhook::clear()`], removes
    /// URL and token, as [`delete_webhook`](Self::delete_webhook) does.
    ///
    /// # Errors
    ///
    /// See [`ErrorKind`](crate::ErrorKind). A URL that is blank or over 8 KiB is refused as `InvalidInput`. Tried again after any failure
    /// that may pass; [`may_have_been_applied`](Error::may_have_been_applied) tells whether the change may have been made all the same.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # let client = fake.client();
    /// let webhook = client.update_webhook("wrk_1", "https://example.com/hook")?;
    /// assert!(webhook.token.is_some());
    ///
    /// let webhook = client.update_webhook("wrk_1", None)?;
    /// assert_eq!(webhook.token, None);
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn update_webhook(
        &self,
        worker_id: &str,
        update: impl Into<UpdateWebhook>,
    ) -> Result<Webhook, Error> {
        let update = update.into();
        let action = "update webhook";
        check(&update).map_err(|problem| Error::invalid_input(action, problem))?;
        let call = Call::new(Method::PUT, action, worker_id, WEBHOOK);
        self.send(&Call { update: Some(&update), ..call })
    }

    /// Removes the webhook: its URL and token are cleared, and nothing is delivered any more. Does nothing if there is
    /// none.
    ///
    /// # Errors
    ///
    /// See [`ErrorKind`](crate::ErrorKind). Tried again after any failure that may pass;
    /// [`may_have_been_applied`](Error::may_have_been_applied) tells whether the change may have been made all the same.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # let client = fake.client();
    /// let webhook = client.delete_webhook("wrk_1")?;
    /// assert_eq!(webhook.url, None);
    /// assert_eq!(webhook.token, None);
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn delete_webhook(&self, worker_id: &str) -> Result<Webhook, Error> {
        self.send(&Call::new(Method::DELETE, "delete webhook", worker_id, WEBHOOK))
    }

    /// Replaces the webhook's token. The old one is invalid at once, and the URL stays.
    ///
    /// A POST is not idempotent (RFC 9110 §9.2.2): it is tried again only where the first try was certainly not
    /// applied, and always sent over a new connection, since the server may be about to close a kept one.
    ///
    /// # Errors
    ///
    /// See [`ErrorKind`](crate::ErrorKind). If [`may_have_been_applied`](Error::may_have_been_applied), ask
    /// [`retrieve_webhook`](Self::retrieve_webhook) for the token that is in force.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # let client = fake.client();
    /// let old = client.update_webhook("wrk_1", "https://example.com/hook")?;
    /// let new = client.regenerate_token("wrk_1")?;
    /// assert_eq!(new.url, old.url);
    /// assert_ne!(new.token, old.token);
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn regenerate_token(&self, worker_id: &str) -> Result<Webhook, Error> {
        self.send(&Call::new(Method::POST, "regenerate token", worker_id, "/webhook/regenerate-token"))
    }

    /// One page of the delivery history, newest first, 50 executions a page, counted from 1. A page past the end is
    /// empty.
    ///
    /// To read more than one page, use [`executions`](Self::executions), or
    /// [`execution_pages`](Self::execution_pages).
    ///
    /// # Errors
    ///
    /// See [`ErrorKind`](crate::ErrorKind). Page 0 is refused as `InvalidInput`. Tried again after any failure that
    /// may pass.
    ///
    /// ```
    /// # let fake = handinger::fake::FakeHandinger::start();
    /// # fake.add_worker("wrk_1");
    /// # let client = fake.client();
    /// # client.update_webhook("wrk_1", "https://example.com/hook")?;
    /// # fake.deliver("wrk_1", 200);
    /// let page = client.list_executions("wrk_1", 1)?;
    /// println!("{} executions in all", page.total_count);
    /// for execution in &page {
    ///     println!("{} {}", execution.created_at, execution.request_status);
    /// }
    /// # assert_eq!(page.logs.len(), 1);
    /// # Ok::<(), handinger::Error>(())
    /// ```
    pub fn list_executions(&self, worker_id: &str, page: u64) -> Result<WebhookExecutionList, Error> {
        let action = "list executions";
        if page == 0 {
            return Err(Error::invalid_input(action, "pages are counted from 1"));
        }
        let call = Call::new(Method::GET, action, worker_id, "/webhook/executions");
        self.send(&Call { page: Some(page), ..call })
    }
}

fn check(update: &UpdateWebhook) -> Result<(), &'static str> {
    match update.url.as_deref() {
        // A service might take it for "no URL", and remove the webhook and its token.
        Some(url) if url.trim().is_empty() => {
            Err("the URL must not be blank; UpdateWebhook::clear() removes it")
        }
        // What the system's buffers cannot hold is sent piece by piece, and ureq grants each piece the whole timeout.
        Some(url) if url.len() > LONGEST_LINE => Err("the URL is over 8 KiB"),
        _ => Ok(()),
    }
}
