//! The simulator's book: every charge that was ever made, folded from the entries of its ledger.
//!
//! It decides and applies, and does no IO: a decision is an [`Entry`], and what is applied while
//! running is what is applied when the ledger is read again.

use std::collections::HashMap;

use millrace_avro::events::orders::CaptureMode;
use millrace_avro::events::payments::{AttemptStatus, GatewayFact, GatewayFactKind as Kind};
use millrace_avro::keys::{OrderId, PaymentId, RefundId};
use millrace_avro::money::Money;
use millrace_streams::Timestamp;
use serde::{Deserialize, Serialize};

use super::tokens::Behaviour;
use crate::gateway::{Answer, Charge, FollowUp, GatewayError};

/// One thing that has happened: a line of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Its number, from 1 and without gaps.
    pub(super) n: u64,
    /// The charge that it is about.
    pub(super) charge: u64,
    /// For the first entry of a charge: what it is.
    pub(super) terms: Option<Terms>,
    /// The call that has led to it; none for what has happened by itself.
    pub(super) call: Option<Call>,
    pub(super) facts: Vec<GatewayFact>,
}

/// What a charge is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Terms {
    pub(super) order_id: OrderId,
    pub(super) payment_id: PaymentId,
    pub(super) amount: Money,
    pub(super) method: String,
    pub(super) capture: CaptureMode,
}

/// A call, as its idempotency key stands for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Call {
    pub(super) key: String,
    pub(super) verb: Verb,
}

/// What a call asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verb {
    Authorize,
    Capture,
    Void,
    Refund,
}

/// What happens to a charge without a call of the shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Incident {
    /// The customer acts, and the charge goes on.
    CustomerApproves,
    /// The customer acts, and the charge fails.
    CustomerDeclines,
    /// The customer disputes the charge.
    Dispute,
    /// The shop wins the dispute.
    DisputeWon,
    /// The shop loses the dispute.
    DisputeLost,
}

/// A charge, as `GET /simulator/ledger` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerItem {
    /// The payment attempt.
    pub payment_id: PaymentId,
    /// The order.
    pub order_id: OrderId,
    /// The key of the call that made it.
    pub idempotency_key: String,
    /// What was asked for.
    pub amount: Money,
    /// What was taken.
    pub captured: Money,
    /// What went back.
    pub refunded: Money,
    /// Where it stands.
    pub status: AttemptStatus,
}

/// A charge.
#[derive(Debug)]
struct Account {
    number: u64,
    key: String,
    terms: Terms,
    facts: Vec<GatewayFact>,
    status: AttemptStatus,
    captured: i64,
    refunded: i64,
    /// The number of the last entry about it.
    last_entry: u64,
}

/// What to do about a call.
#[derive(Debug)]
pub(super) enum Decision {
    /// Write this down.
    Write(Entry),
    /// Nothing changes for this charge.
    Known(u64),
}

/// Every charge.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// By number, from 1.
    accounts: Vec<Account>,
    /// By idempotency key: the charge, and what was asked.
    calls: HashMap<String, (u64, Verb)>,
    by_payment: HashMap<PaymentId, Vec<u64>>,
    /// The charge that each entry is about, by the entry's number, from 1.
    entries: Vec<u64>,
}

impl Book {
    /// The number of entries.
    pub(super) const fn entries(&self) -> u64 {
        self.entries.len() as u64
    }

    /// Decides what a charge comes to.
    pub(super) fn authorize(
        &self,
        charge: &Charge,
        at: Timestamp,
    ) -> Result<Decision, GatewayError> {
        let (key, verb) = (&charge.idempotency_key, Verb::Authorize);
        if let Some(known) = self.known(key, verb, &charge.payment_id)? {
            return Ok(Decision::Known(known));
        }
        if let Some(given_up) = self.given_up(&charge.payment_id) {
            return Ok(Decision::Known(given_up));
        }
        let outcome = Behaviour::of(&charge.method).outcome;
        let terms = Terms {
            order_id: charge.order_id.clone(),
            payment_id: charge.payment_id.clone(),
            amount: charge.amount,
            method: charge.method.clone(),
            capture: charge.capture,
        };
        let kinds = outcome.kinds(charge.capture);
        Ok(Decision::Write(self.first_entry(
            key,
            verb,
            terms,
            kinds,
            outcome.reason(),
            at,
        )))
    }

    /// Decides what a capture, a void or a refund comes to.
    pub(super) fn follow_up(
        &self,
        verb: Verb,
        asked: &FollowUp,
        at: Timestamp,
    ) -> Result<Decision, GatewayError> {
        use AttemptStatus as S;
        let key = &asked.idempotency_key;
        if let Some(known) = self.known(key, verb, &asked.payment_id)? {
            return Ok(Decision::Known(known));
        }
        let Some(account) = self.target(asked) else {
            return self.unheard_of(verb, asked, at);
        };
        let open = matches!(
            account.status,
            S::Authorized | S::RequiresAction | S::Processing
        );
        let kind = match verb {
            Verb::Capture if account.status == S::Authorized => Kind::Captured,
            Verb::Void if open => Kind::Voided,
            Verb::Refund => return Ok(Decision::Write(self.refund(account, asked, at))),
            _ => return Ok(Decision::Known(account.number)),
        };
        let call = Call {
            key: key.clone(),
            verb,
        };
        Ok(Decision::Write(self.entry(
            account,
            Some(call),
            &[kind],
            None,
            at,
        )))
    }

    /// Decides what an incident comes to. `None` if there is no charge that it can happen to.
    pub(super) fn incident(
        &self,
        payment: &PaymentId,
        incident: Incident,
        at: Timestamp,
    ) -> Option<Entry> {
        use AttemptStatus as S;
        let (from, kinds, detail): (&[S], &[Kind], _) = match incident {
            Incident::CustomerApproves => (&[S::RequiresAction], &[], None),
            Incident::CustomerDeclines => (
                &[S::RequiresAction],
                &[Kind::Failed],
                Some("authentication_failed"),
            ),
            Incident::Dispute => (
                &[S::Captured, S::PartiallyRefunded],
                &[Kind::Disputed],
                None,
            ),
            Incident::DisputeWon => (&[S::Disputed], &[Kind::DisputeWon], None),
            Incident::DisputeLost => (&[S::Disputed], &[Kind::DisputeLost], None),
        };
        let mut accounts = self.of_payment(payment).rev();
        let account = accounts.find(|account| from.contains(&account.status))?;
        let approved = super::tokens::Outcome::Approved.kinds(account.terms.capture);
        let kinds = if incident == Incident::CustomerApproves {
            approved
        } else {
            kinds
        };
        Some(self.entry(account, None, kinds, detail, at))
    }

    /// Takes an entry in.
    pub(super) fn apply(&mut self, entry: Entry) {
        self.entries.push(entry.charge);
        if let Some(terms) = entry.terms {
            let charges = self.by_payment.entry(terms.payment_id.clone()).or_default();
            charges.push(entry.charge);
            let key = entry.call.as_ref().map(|call| call.key.clone());
            self.accounts
                .push(Account::new(entry.charge, key.unwrap_or_default(), terms));
        }
        if let Some(Call { key, verb }) = entry.call {
            self.calls.insert(key, (entry.charge, verb));
        }
        if let Some(account) = self.accounts.iter_mut().rfind(|a| a.number == entry.charge) {
            account.last_entry = entry.n;
            for fact in entry.facts {
                account.apply(fact);
            }
        }
    }

    /// What is known of a charge, and the number of the last entry about it.
    pub(super) fn answer(&self, charge: u64) -> Option<(Answer, u64)> {
        let account = self.account(charge)?;
        let answer = Answer {
            order_id: account.terms.order_id.clone(),
            payment_id: account.terms.payment_id.clone(),
            facts: account.facts.clone(),
        };
        Some((answer, account.last_entry))
    }

    /// What is known of the charge that entry number `n` is about.
    pub(super) fn answer_of_entry(&self, n: u64) -> Option<Answer> {
        let index = usize::try_from(n).ok()?.checked_sub(1)?;
        let charge = self.entries.get(index)?;
        self.answer(*charge).map(|(answer, _)| answer)
    }

    /// The charge that the call with this key is about.
    pub(super) fn charge_of(&self, key: &str) -> Option<u64> {
        self.calls.get(key).map(|(charge, _)| *charge)
    }

    /// Every charge, oldest first.
    pub(super) fn items(&self) -> Vec<LedgerItem> {
        let item = |account: &Account| {
            let Terms {
                payment_id,
                order_id,
                amount,
                ..
            } = &account.terms;
            LedgerItem {
                payment_id: payment_id.clone(),
                order_id: order_id.clone(),
                idempotency_key: account.key.clone(),
                amount: *amount,
                captured: Money::new(account.captured, amount.currency),
                refunded: Money::new(account.refunded, amount.currency),
                status: account.status,
            }
        };
        self.accounts.iter().map(item).collect()
    }

    /// Payments whose customers have to act, and since when, in milliseconds.
    pub(super) fn waiting_for_customers(&self) -> Vec<(PaymentId, i64)> {
        let accounts = self.accounts.iter();
        let waiting = accounts.filter(|account| account.status == AttemptStatus::RequiresAction);
        let since = |facts: &[GatewayFact]| facts.last().map_or(0, |fact| fact.occurred_at_ms);
        waiting
            .map(|account| (account.terms.payment_id.clone(), since(&account.facts)))
            .collect()
    }

    /// The charge of a key that was used before.
    fn known(
        &self,
        key: &str,
        verb: Verb,
        payment: &PaymentId,
    ) -> Result<Option<u64>, GatewayError> {
        let Some((charge, known_verb)) = self.calls.get(key) else {
            return Ok(None);
        };
        let account = self.account(*charge);
        let same_payment = account.is_some_and(|a| a.terms.payment_id == *payment);
        if same_payment && *known_verb == verb {
            return Ok(Some(*charge));
        }
        Err(GatewayError::Refused(format!(
            "the key `{key}` stands for another call"
        )))
    }

    /// The void of a payment that came before its charge.
    fn given_up(&self, payment: &PaymentId) -> Option<u64> {
        let mut accounts = self.of_payment(payment);
        let given_up = accounts.find(|account| {
            let first = self.calls.get(&account.key).map(|(_, verb)| *verb);
            first == Some(Verb::Void)
        });
        given_up.map(|account| account.number)
    }

    fn unheard_of(
        &self,
        verb: Verb,
        asked: &FollowUp,
        at: Timestamp,
    ) -> Result<Decision, GatewayError> {
        if verb != Verb::Void {
            let text = format!("there is no charge of `{}`", asked.payment_id);
            return Err(GatewayError::Refused(text));
        }
        let terms = Terms {
            order_id: asked.order_id.clone(),
            payment_id: asked.payment_id.clone(),
            amount: asked.amount,
            method: String::new(),
            capture: CaptureMode::Manual,
        };
        let (key, kinds) = (&asked.idempotency_key, &[Kind::Voided]);
        Ok(Decision::Write(
            self.first_entry(key, verb, terms, kinds, None, at),
        ))
    }

    fn first_entry(
        &self,
        key: &str,
        verb: Verb,
        terms: Terms,
        kinds: &[Kind],
        detail: Option<&str>,
        at: Timestamp,
    ) -> Entry {
        let call = Call {
            key: key.to_owned(),
            verb,
        };
        let number = self.accounts.len() as u64 + 1;
        let account = Account::new(number, String::new(), terms);
        let entry = self.entry(&account, Some(call), kinds, detail, at);
        Entry {
            terms: Some(account.terms),
            ..entry
        }
    }

    fn entry(
        &self,
        account: &Account,
        call: Option<Call>,
        kinds: &[Kind],
        detail: Option<&str>,
        at: Timestamp,
    ) -> Entry {
        let facts = kinds
            .iter()
            .zip(account.facts.len()..)
            .map(|(kind, index)| {
                let about_dispute =
                    matches!(kind, Kind::Disputed | Kind::DisputeWon | Kind::DisputeLost);
                let prefix = if about_dispute { "dp" } else { "ch" };
                let amount = account.terms.amount;
                account.fact(
                    format!("{prefix}_{}", account.number),
                    index,
                    *kind,
                    amount,
                    at,
                    detail,
                )
            });
        Entry {
            n: self.entries() + 1,
            charge: account.number,
            terms: None,
            call,
            facts: facts.collect(),
        }
    }

    fn refund(&self, account: &Account, asked: &FollowUp, at: Timestamp) -> Entry {
        let left = account.captured - account.refunded;
        let same_currency = asked.amount.currency == account.terms.amount.currency;
        let possible = same_currency && asked.amount.minor > 0 && asked.amount.minor <= left;
        let (kind, detail) = if possible {
            (Kind::Refunded, None)
        } else {
            (Kind::RefundFailed, Some("more than is left"))
        };
        let n = self.entries() + 1;
        let (reference, index) = (format!("re_{n}"), account.facts.len());
        let mut fact = account.fact(reference, index, kind, asked.amount, at, detail);
        fact.refund_id.clone_from(&asked.refund_id);
        let (key, verb) = (asked.idempotency_key.clone(), Verb::Refund);
        Entry {
            n,
            charge: account.number,
            terms: None,
            call: Some(Call { key, verb }),
            facts: vec![fact],
        }
    }

    /// The charge that a follow-up is about: by its reference, or the last of its payment.
    fn target(&self, asked: &FollowUp) -> Option<&Account> {
        let number = asked
            .reference
            .as_deref()
            .and_then(|text| text.strip_prefix("ch_"));
        let named = number.and_then(|number| self.account(number.parse().ok()?));
        let named = named.filter(|account| account.terms.payment_id == asked.payment_id);
        named.or_else(|| self.of_payment(&asked.payment_id).next_back())
    }

    fn of_payment(&self, payment: &PaymentId) -> impl DoubleEndedIterator<Item = &Account> {
        let numbers = self.by_payment.get(payment).into_iter().flatten();
        numbers.filter_map(|number| self.account(*number))
    }

    fn account(&self, number: u64) -> Option<&Account> {
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        self.accounts.get(index)
    }
}

impl Account {
    fn new(number: u64, key: String, terms: Terms) -> Self {
        Self {
            number,
            key,
            terms,
            facts: Vec::new(),
            status: AttemptStatus::Initiated,
            captured: 0,
            refunded: 0,
            last_entry: 0,
        }
    }

    /// A fact of this charge, its number `index`. Facts of a charge never go back in time, and of
    /// two with the same time the later has the greater id.
    fn fact(
        &self,
        reference: String,
        index: usize,
        kind: Kind,
        amount: Money,
        at: Timestamp,
        detail: Option<&str>,
    ) -> GatewayFact {
        let last = self
            .facts
            .last()
            .map_or(i64::MIN, |fact| fact.occurred_at_ms);
        GatewayFact {
            fact_id: format!("ch_{}.{index:06}", self.number),
            reference,
            kind,
            amount,
            occurred_at_ms: at.as_millis().max(last),
            refund_id: None::<RefundId>,
            detail: detail.map(str::to_owned),
        }
    }

    fn apply(&mut self, fact: GatewayFact) {
        use AttemptStatus as S;
        let minor = fact.amount.minor;
        match fact.kind {
            Kind::RequiresAction => self.status = S::RequiresAction,
            Kind::Processing => self.status = S::Processing,
            Kind::Authorized => self.status = S::Authorized,
            Kind::Captured => {
                self.captured = minor;
                self.status = S::Captured;
            }
            Kind::Failed => self.status = S::Failed,
            Kind::Voided => self.status = S::Voided,
            Kind::Refunded => {
                self.refunded += minor;
                let all = self.refunded >= self.captured;
                self.status = if all {
                    S::Refunded
                } else {
                    S::PartiallyRefunded
                };
            }
            Kind::RefundPending | Kind::RefundFailed => {}
            Kind::Disputed => self.status = S::Disputed,
            Kind::DisputeWon => self.status = S::Won,
            Kind::DisputeLost => self.status = S::Lost,
        }
        self.facts.push(fact);
    }
}
