//! Which faults a simulated log knows, how often they strike, and how often they have struck.

use std::collections::BTreeMap;

use super::rng::Rng;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// A fault that a simulated log can inject.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Fault { $($(#[$doc])* $name,)+ }

        impl Fault {
            /// Every fault.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];
        }
    };
}

faults! {
    /// A send is cut off: some first part of it is written, and the member is told at once.
    SendCutOff,
    /// A send is cut off: some first part of it is written, and only the commit tells.
    SendLost,
    /// The commit is cut off after the sends, before the offsets reach the group: aborted.
    CutBeforeOffsets,
    /// The commit is cut off when the offsets are pending, before the end marker: aborted.
    CutBeforeEnd,
    /// The request to end the transaction is lost: unknown, and without effect.
    EndLost,
    /// The request to end the transaction hangs in the network: unknown. It takes effect some
    /// calls later, after 20 s at the latest, unless a recovery came first: then it is
    /// fenced.
    EndLate,
    /// The transaction is committed and the reply is lost: unknown, and with effect.
    EndReplyLost,
    /// The member's process dies before it sends anything.
    DiesBeforeSend,
    /// The member's process dies when it has sent, before the offsets reach the group.
    DiesAfterSend,
    /// The member's process dies when the offsets are pending, before the end marker.
    DiesBeforeEnd,
    /// The member's process dies when the transaction is committed, before it hears of that.
    DiesAfterEnd,
    /// The marker of a commit reaches one of its partitions, or the group's offsets, up to 3 s late:
    /// until then what was committed there is not visible.
    MarkerLate,
    /// The broker aborts the open transaction as one that took too long, and fences its producer.
    TransactionTimeout,
    /// The group removes the member, as if its session had ended.
    MemberRemoved,
    /// The group moves a task from one member to another without need.
    Rebalance,
    /// A heartbeat does not reach the group: no news, and the session is not prolonged.
    HeartbeatLost,
    /// A fetch brings nothing, though there is something.
    FetchDelayed,
    /// A fetch brings at most one record per partition.
    FetchSmall,
    /// A fetch finds no broker.
    FetchUnavailable,
    /// The committed offsets cannot be read.
    OffsetsUnavailable,
    /// The bounds of partitions cannot be read.
    BoundsUnavailable,
    /// A recovery does not reach the log; nothing is recovered.
    RecoverUnavailable,
    /// A recovery takes effect and its reply is lost.
    RecoverReplyLost,
    /// A member's rejoin does not reach the group.
    RejoinUnavailable,
    /// A member's farewell does not reach the group: its session has to end.
    LeaveUnavailable,
    /// An append does not reach the log: unavailable, and nothing written.
    AppendLost,
    /// An append is written and the reply is lost: unavailable, though there is a record.
    AppendReplyLost,
    /// Topics cannot be listed, made or deleted.
    AdminUnavailable,
}

/// How often each fault strikes, as a probability per chance that it gets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FaultRates {
    rates: BTreeMap<Fault, f64>,
}

impl FaultRates {
    /// No fault strikes by chance.
    pub fn none() -> Self {
        Self::default()
    }

    /// Every fault strikes with this probability (0 to 1).
    pub fn all(probability: f64) -> Self {
        let rates = Fault::ALL.iter().map(|fault| (*fault, probability));
        Self {
            rates: rates.collect(),
        }
    }

    /// The same rates, but `fault` strikes with this probability (0 to 1).
    #[must_use]
    pub fn with(mut self, fault: Fault, probability: f64) -> Self {
        self.rates.insert(fault, probability);
        self
    }

    fn of(&self, fault: Fault) -> f64 {
        self.rates.get(&fault).copied().unwrap_or(0.0)
    }
}

/// Decides at every chance that a fault gets, by script first, then by the dice.
#[derive(Debug)]
pub(super) struct Faults {
    rates: FaultRates,
    script: Vec<(Fault, Option<String>)>,
    fired: BTreeMap<Fault, u64>,
    pub(super) rng: Rng,
}

impl Faults {
    pub(super) fn new(seed: u64, rates: FaultRates) -> Self {
        Self {
            rates,
            script: Vec::new(),
            fired: BTreeMap::new(),
            rng: Rng::new(seed),
        }
    }

    pub(super) fn inject(&mut self, fault: Fault, member: Option<&str>) {
        self.script.push((fault, member.map(str::to_owned)));
    }

    pub(super) fn stop(&mut self) {
        self.rates = FaultRates::none();
        self.script.clear();
    }

    pub(super) const fn fired(&self) -> &BTreeMap<Fault, u64> {
        &self.fired
    }

    /// True if `fault` strikes now. `member` is whom it would hit, where it hits a member.
    pub(super) fn strikes(&mut self, fault: Fault, member: Option<&str>) -> bool {
        let strikes = self.scripted(fault, member) || self.rolled(fault);
        if strikes {
            *self.fired.entry(fault).or_default() += 1;
        }
        strikes
    }

    fn scripted(&mut self, fault: Fault, member: Option<&str>) -> bool {
        let due = self.script.iter().position(|(scripted, whom)| {
            *scripted == fault && (whom.is_none() || whom.as_deref() == member)
        });
        due.map(|index| self.script.remove(index)).is_some()
    }

    // A rate of zero draws nothing, so that a quiet log spends nothing on chance.
    fn rolled(&mut self, fault: Fault) -> bool {
        let rate = self.rates.of(fault);
        rate > 0.0 && self.rng.chance(rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scripted_fault_strikes_once_and_only_whom_it_names() {
        let mut faults = Faults::new(0, FaultRates::none());
        faults.inject(Fault::EndLost, Some("a"));
        assert!(!faults.strikes(Fault::EndLost, Some("b")));
        assert!(!faults.strikes(Fault::EndLate, Some("a")));
        assert!(faults.strikes(Fault::EndLost, Some("a")));
        assert!(!faults.strikes(Fault::EndLost, Some("a")));
        assert_eq!(faults.fired().get(&Fault::EndLost), Some(&1));
    }

    #[test]
    fn stopped_faults_strike_no_more() {
        let mut faults = Faults::new(0, FaultRates::all(1.0));
        assert!(faults.strikes(Fault::Rebalance, None));
        faults.stop();
        assert!(!faults.strikes(Fault::Rebalance, None));
    }
}
