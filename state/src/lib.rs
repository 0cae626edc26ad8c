//! Interim.
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::sync::Arc;
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("closed")]
    StoreClosed,
}
#[derive(Debug, Clone)]
pub struct StoreId {
    pub application: String,
    pub task: String,
    pub store: String,
}
type Map = BTreeMap<Box<[u8]>, Box<[u8]>>;
type Disk = Arc<RwLock<BTreeMap<String, (Arc<RwLock<Map>>, Option<i64>)>>>;
#[derive(Debug, Clone, Default)]
pub struct StateDir {
    disk: Disk,
}
#[derive(Debug)]
pub struct Store {
    name: String,
    disk: Disk,
    map: Arc<RwLock<Map>>,
    buf: BTreeMap<Box<[u8]>, Option<Box<[u8]>>>,
    order: Vec<Box<[u8]>>,
    pos: Option<i64>,
}
#[derive(Debug, Clone)]
pub struct StoreReader {
    map: Arc<RwLock<Map>>,
}
impl StoreId {
    pub fn new(application: &str, task: impl Into<String>, store: &str) -> Self {
        Self {
            application: application.into(),
            task: task.into(),
            store: store.into(),
        }
    }
}
impl StateDir {
    pub fn process_id(&self) -> &str {
        "process"
    }
    pub fn in_memory() -> Self {
        Self::default()
    }
    pub fn open_store(&self, id: &StoreId) -> Result<Store, Error> {
        let name = format!("{}/{}/{}", id.application, id.task, id.store);
        let mut d = self.disk.write();
        let e = d.entry(name.clone()).or_default();
        Ok(Store {
            name,
            disk: self.disk.clone(),
            map: e.0.clone(),
            pos: e.1,
            buf: BTreeMap::new(),
            order: vec![],
        })
    }
}
impl Store {
    pub fn get_with<R>(&self, key: &[u8], f: impl FnOnce(Option<&[u8]>) -> R) -> Result<R, Error> {
        if let Some(v) = self.buf.get(key) {
            return Ok(f(v.as_deref()));
        }
        Ok(f(self.map.read().get(key).map(|v| &**v)))
    }
    pub fn range(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
    ) -> Result<Vec<(Box<[u8]>, Box<[u8]>)>, Error> {
        let mut m = self.map.read().clone();
        for (k, v) in &self.buf {
            match v {
                Some(v) => {
                    m.insert(k.clone(), v.clone());
                }
                None => {
                    m.remove(k);
                }
            }
        }
        Ok(m.into_iter()
            .filter(|(k, _)| &**k >= from && to.is_none_or(|t| &**k < t))
            .collect())
    }
    pub fn put(&mut self, key: &[u8], v: &[u8]) -> Result<(), Error> {
        if self.buf.insert(key.into(), Some(v.into())).is_none() {
            self.order.push(key.into());
        }
        Ok(())
    }
    pub fn delete(&mut self, key: &[u8]) -> Result<(), Error> {
        if self.buf.insert(key.into(), None).is_none() {
            self.order.push(key.into());
        }
        Ok(())
    }
    pub fn for_each_change(
        &self,
        mut f: impl FnMut(&[u8], Option<&[u8]>, Option<&[u8]>),
    ) -> Result<(), Error> {
        let m = self.map.read();
        for k in &self.order {
            f(
                k,
                m.get(k).map(|v| &**v),
                self.buf.get(k).and_then(|v| v.as_deref()),
            );
        }
        Ok(())
    }
    pub fn commit(&mut self, next: Option<i64>) -> Result<(), Error> {
        let mut m = self.map.write();
        for (k, v) in std::mem::take(&mut self.buf) {
            match v {
                Some(v) => {
                    m.insert(k, v);
                }
                None => {
                    m.remove(&k);
                }
            }
        }
        self.order.clear();
        if next.is_some() {
            self.pos = next;
        }
        Ok(())
    }
    pub fn discard(&mut self) {
        self.buf.clear();
        self.order.clear();
    }
    pub fn buffered_bytes(&self) -> usize {
        self.buf
            .iter()
            .map(|(k, v)| k.len() + v.as_ref().map_or(0, |v| v.len()))
            .sum()
    }
    pub fn position(&self) -> Option<i64> {
        self.pos
    }
    pub fn restore<'a>(
        &mut self,
        records: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
        next: i64,
    ) -> Result<(), Error> {
        let mut m = self.map.write();
        for (k, v) in records {
            match v {
                Some(v) => {
                    m.insert(k.into(), v.into());
                }
                None => {
                    m.remove(k);
                }
            }
        }
        self.pos = Some(next);
        Ok(())
    }
    pub fn wipe(&mut self) -> Result<(), Error> {
        self.map.write().clear();
        self.pos = None;
        self.discard();
        Ok(())
    }
    pub fn close(self) -> Result<(), Error> {
        if let Some(e) = self.disk.write().get_mut(&self.name) {
            e.1 = self.pos;
        }
        Ok(())
    }
    pub fn reader(&self) -> StoreReader {
        StoreReader {
            map: self.map.clone(),
        }
    }
}
impl StoreReader {
    pub fn get_with<R>(&self, key: &[u8], f: impl FnOnce(Option<&[u8]>) -> R) -> Result<R, Error> {
        Ok(f(self.map.read().get(key).map(|v| &**v)))
    }
    pub fn range(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
    ) -> Result<Vec<(Box<[u8]>, Box<[u8]>)>, Error> {
        Ok(self
            .map
            .read()
            .iter()
            .filter(|(k, _)| &***k >= from && to.is_none_or(|t| &***k < t))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect())
    }
}
