//! Buyers who go on buying, whatever happens to the market, and what was promised to them.
//!
//! A buyer repeats what was not answered, with the same idempotency key, until it is: so at the end
//! every purchase has an answer, and the orders that exist are the orders that were promised.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::future::try_join_all;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::{Answer, Buyer, Shop};

/// The pause of a buyer who was not answered.
const PAUSE: Duration = Duration::from_millis(10);

/// How long a purchase that began may take to be answered, through any number of restarts.
const PATIENCE: Duration = Duration::from_secs(120);

/// Who buys what, and how.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// What chance begins with: the same seed buys the same.
    pub seed: u64,
    /// How many buy at the same time.
    pub buyers: usize,
    /// What they choose from.
    pub skus: Vec<String>,
    /// How they pay: tokens of the gateway simulator.
    pub payment_methods: Vec<String>,
}

/// What the buyers were told.
#[derive(Clone, Debug, Default)]
pub struct Promises {
    /// Ids of the orders that were acknowledged, by buyer.
    pub orders: Vec<Vec<String>>,
    /// How often the decision on a cart took longer than the market waits for it.
    pub undecided: usize,
    /// How many requests were refused, by the code of the problem.
    pub refused: BTreeMap<String, usize>,
    /// How many answers had a status of 500 or more, by status.
    pub failed: BTreeMap<u16, usize>,
    /// How often there was no answer at all.
    pub unanswered: usize,
}

impl Promises {
    /// The number of acknowledged orders.
    pub fn count(&self) -> usize {
        self.orders.iter().map(Vec::len).sum()
    }
}

/// Buyers at work.
#[derive(Debug)]
pub struct Load {
    buyers: Vec<Buyer>,
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<Result<()>>>,
    /// When the youngest of the writes that were decided began.
    written: watch::Receiver<Instant>,
}

#[derive(Debug)]
struct Shared {
    promises: Mutex<Promises>,
    stopping: AtomicBool,
    written: watch::Sender<Instant>,
}

impl Load {
    /// Registers the buyers, spread over the instances `shops`, and lets them buy. A buyer who is
    /// not answered goes to the next instance.
    pub async fn start(shops: &[Shop], options: LoadOptions) -> Result<Self> {
        let first = shops.first().context("no market to buy from")?;
        let seed = options.seed;
        let register = (0..options.buyers).map(|number| async move {
            let email = format!("buyer-{seed}-{number}@example.com");
            first.buyer(&email).await
        });
        let buyers = try_join_all(register).await?;
        let (sender, written) = watch::channel(Instant::now());
        let shared = Arc::new(Shared {
            promises: Mutex::new(Promises {
                orders: vec![Vec::new(); buyers.len()],
                ..Promises::default()
            }),
            stopping: AtomicBool::new(false),
            written: sender,
        });
        let options = Arc::new(options);
        let begin = |(number, buyer): (usize, &Buyer)| {
            let shopper = Shopper {
                number,
                faces: shops.iter().map(|shop| buyer.at(shop)).collect(),
                at: number % shops.len(),
                dice: Dice::new(seed ^ (number as u64) << 32),
                options: options.clone(),
                shared: shared.clone(),
            };
            tokio::spawn(shopper.run())
        };
        let tasks = buyers.iter().enumerate().map(begin).collect();
        Ok(Self {
            buyers,
            shared,
            tasks,
            written,
        })
    }

    /// The buyers, in the order of [`Promises::orders`].
    pub fn buyers(&self) -> &[Buyer] {
        &self.buyers
    }

    /// What was promised so far.
    pub fn promises(&self) -> Promises {
        self.shared.lock().clone()
    }

    /// Waits until a write that began at `since` or later is decided, and not only accepted: the
    /// market commits.
    pub async fn written_since(&mut self, since: Instant, limit: Duration) -> Result<()> {
        let written = self.written.wait_for(|began| *began >= since);
        let written = timeout(limit, written).await;
        written.with_context(|| format!("nothing was committed within {limit:?}"))??;
        Ok(())
    }

    /// Lets every buyer end what it has begun.
    pub async fn stop(self) -> Result<Promises> {
        self.shared.stopping.store(true, Ordering::Release);
        for task in self.tasks {
            task.await??;
        }
        Ok(self.shared.lock().clone())
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Promises> {
        self.promises.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One buyer at work.
struct Shopper {
    number: usize,
    /// The account, at each instance.
    faces: Vec<Buyer>,
    /// The instance that it asks now.
    at: usize,
    dice: Dice,
    options: Arc<LoadOptions>,
    shared: Arc<Shared>,
}

/// A request of a purchase.
enum Ask<'a> {
    Put(&'a str, i64),
    Place(&'a str, &'a str),
}

impl Shopper {
    async fn run(mut self) -> Result<()> {
        let mut round = 0;
        while !self.shared.stopping.load(Ordering::Acquire) {
            self.buy(round).await?;
            round += 1;
        }
        Ok(())
    }

    async fn buy(&mut self, round: u64) -> Result<()> {
        let options = self.options.clone();
        let sku = self.dice.choose(&options.skus);
        let quantity = 1 + self.dice.below(2).cast_signed();
        let put = self.persist(&Ask::Put(sku, quantity)).await?;
        if put.status != 200 {
            return Ok(());
        }
        let method = self.dice.choose(&options.payment_methods);
        let key = format!("{}-{}-{round}", options.seed, self.number);
        let placed = self.persist(&Ask::Place(method, &key)).await?;
        if placed.status < 300 {
            let mut promises = self.shared.lock();
            let mine = promises.orders.get_mut(self.number);
            mine.context("a buyer without a list")?
                .push(placed.id().to_owned());
        }
        Ok(())
    }

    /// Asks until there is an answer that is one.
    async fn persist(&mut self, ask: &Ask<'_>) -> Result<Answer> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let began = Instant::now();
            match self.ask(ask).await {
                Ok(answer) if self.is_final(&answer) => {
                    if answer.is_decided() {
                        self.shared.written.send_if_modified(|last| {
                            let later = began > *last;
                            *last = began.max(*last);
                            later
                        });
                    }
                    return Ok(answer);
                }
                Ok(_) => {}
                Err(_) => self.shared.lock().unanswered += 1,
            }
            if Instant::now() > deadline {
                bail!("buyer {} was not answered for {PATIENCE:?}", self.number);
            }
            self.at = (self.at + 1) % self.faces.len();
            sleep(PAUSE).await;
        }
    }

    async fn ask(&self, ask: &Ask<'_>) -> Result<Answer> {
        let buyer = self.faces.get(self.at).context("no such instance")?;
        match ask {
            Ask::Put(sku, quantity) => buyer.put_in_cart(sku, *quantity).await,
            Ask::Place(method, key) => buyer.place(method, key).await,
        }
    }

    fn is_final(&self, answer: &Answer) -> bool {
        let mut promises = self.shared.lock();
        let counted = match answer.status {
            status @ 500.. => promises.failed.entry(status).or_default(),
            400.. => promises
                .refused
                .entry(answer.code().to_owned())
                .or_default(),
            202 if answer.id().starts_with("cart") => &mut promises.undecided,
            _ => &mut 0,
        };
        *counted += 1;
        answer.status < 500 && answer.code() != "idempotency-in-flight"
    }
}

/// Chance from a seed.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Chance that begins with `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`, or 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators".
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }

    fn choose<'a>(&mut self, from: &'a [String]) -> &'a str {
        let at = self.below(from.len() as u64);
        let chosen = usize::try_from(at).ok().and_then(|at| from.get(at));
        chosen.map_or("", String::as_str)
    }
}
