//! The serde of events: the body is the value, the metadata is headers.

use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use millrace_streams::headers::{HeaderList, Headers};
use millrace_streams::serde::{Data, Presence, Serde, SerdeContext, SerdeError};

use super::datum::{Decoder, Encoder, Shape};
use super::headers::MetaHeaders;
use super::{Schema, SchemaClient, wire};
use crate::event::{Event, EventSet, EventType};

impl<E: EventSet> Data for Event<E> {
    type Serde = EventSerde<E>;

    /// Registers the schema of every type of the set.
    fn serde(at: &SerdeContext<'_>) -> Result<Self::Serde, SerdeError> {
        let client = SchemaClient::of(at)?;
        let types = E::TYPES.iter();
        let types: Result<_, _> = types.map(|ty| Type::new(ty, at.topic, &client)).collect();
        Ok(EventSerde {
            client,
            types: types?,
            readings: HashMap::new(),
            headers: MetaHeaders::default(),
            set: PhantomData,
        })
    }
}

/// Writes and reads [`Event`]s.
///
/// A value is in Confluent's wire format. It is read by the schema that it names; a record type
/// that is not of the set is [`SerdeError::UnknownType`].
pub struct EventSerde<E> {
    client: Arc<SchemaClient>,
    /// In the order of [`EventSet::TYPES`].
    types: Vec<Type>,
    /// By the id of the writer's schema: the place in `types`, and how to read it.
    readings: HashMap<u32, (usize, Arc<Shape>)>,
    headers: MetaHeaders,
    set: PhantomData<fn() -> E>,
}

/// One type of the set, with what writing it takes.
struct Type {
    name: &'static str,
    id: u32,
    schema: &'static Schema,
}

impl Type {
    fn new(ty: &EventType, topic: &str, client: &SchemaClient) -> Result<Self, SerdeError> {
        let schema = Schema::known(ty.full_name, ty.schema)?;
        Ok(Self {
            name: ty.name,
            id: client.register(topic, ty.full_name, ty.schema)?,
            schema,
        })
    }
}

impl<E: EventSet> Serde<Event<E>> for EventSerde<E> {
    fn serialize(
        &mut self,
        event: &Event<E>,
        headers: &mut HeaderList,
        out: &mut Vec<u8>,
    ) -> Result<Presence, SerdeError> {
        let index = event.body.index();
        let ty = self.types.get(index).ok_or_else(|| no_type::<E>(index))?;
        let start = out.len();
        wire::begin(ty.id, out);
        if let Err(error) = event.body.encode(Encoder::new(&ty.schema.shape, out)) {
            out.truncate(start);
            return Err(error);
        }
        self.headers.write(&event.meta, ty.name, headers);
        Ok(Presence::Value)
    }

    fn deserialize(
        &mut self,
        bytes: Option<&[u8]>,
        headers: Headers<'_>,
    ) -> Result<Event<E>, SerdeError> {
        let bytes = bytes.ok_or(SerdeError::Null { what: E::NAME })?;
        let (id, datum) = wire::split(E::NAME, bytes)?;
        if !self.readings.contains_key(&id) {
            let reading = self.reading(id)?;
            self.readings.insert(id, reading);
        }
        let (index, reading) = self.readings.get(&id).ok_or_else(|| no_type::<E>(0))?;
        let body = E::decode(*index, Decoder::new(datum, reading))?;
        let meta = self.headers.read(E::NAME, headers)?;
        Ok(Event { meta, body })
    }
}

impl<E: EventSet> EventSerde<E> {
    fn reading(&self, id: u32) -> Result<(usize, Arc<Shape>), SerdeError> {
        let writer = self.client.schema(E::NAME, id)?;
        let mut types = self.types.iter().enumerate();
        match types.find(|(_, ty)| ty.schema.name() == writer.name()) {
            Some((index, ty)) => Ok((index, ty.schema.reading(&writer))),
            None => Err(SerdeError::UnknownType {
                name: writer.name().to_owned(),
            }),
        }
    }
}

impl<E> fmt::Debug for EventSerde<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let types = self.types.iter().map(|ty| ty.name);
        f.debug_list().entries(types).finish()
    }
}

// `EventSet::index` promises a place in `EventSet::TYPES`.
fn no_type<E: EventSet>(index: usize) -> SerdeError {
    SerdeError::UnknownType {
        name: format!("{}[{index}]", E::NAME),
    }
}
