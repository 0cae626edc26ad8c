//! What a writer's schema puts on the wire, and what a reader's makes of it: decided once for the
//! pair.
//!
//! The rules are those of Avro's schema resolution (specification 1.12, "Schema Resolution").
//! Logical types are what they annotate. What cannot be resolved is refused when it is met, as a
//! pair of schemas may differ in a branch that no datum takes.

use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;

use apache_avro::Schema as Avro;
use apache_avro::schema::{EnumSchema, RecordField, RecordSchema, UnionSchema};

use super::default;
use crate::codec::evolution::{self, Kind};

/// A graph of types, as recursive as the schema is.
#[derive(Debug)]
pub(in crate::codec) struct Shape {
    nodes: Vec<Node>,
}

/// The place of a node in its [`Shape`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodeId(usize);

/// How one value is encoded, and what it is read as.
#[derive(Debug)]
pub(super) enum Node {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    /// An int or a long, which are encoded alike, read as a float.
    LongAsFloat,
    /// An int or a long read as a double.
    LongAsDouble,
    FloatAsDouble,
    Bytes,
    String,
    /// So many bytes.
    Fixed(usize),
    /// The reader's symbols in the order of the writer's; `None` where it has no counterpart.
    Enum(Vec<Option<String>>),
    Array(NodeId),
    Map(NodeId),
    Union(Vec<Branch>),
    Record(Record),
    /// The reader cannot read what the writer wrote, and why.
    Refused(String),
}

/// One of the types of a union, which are in the order of the writer's.
#[derive(Debug)]
pub(super) struct Branch {
    /// The reader's name of the type, without its name space: "Money", "string", "array".
    pub(super) name: String,
    pub(super) node: NodeId,
}

/// The fields of a record in the order of the writer's.
#[derive(Debug)]
pub(super) struct Record {
    /// The writer's name, without its name space.
    pub(super) name: String,
    pub(super) fields: Vec<Field>,
    /// What only the reader has.
    pub(super) added: Vec<Added>,
    /// The address of a static list of all these fields in this order, once one was compared.
    pub(super) read_in_order_by: AtomicUsize,
}

#[derive(Debug)]
pub(super) struct Field {
    /// The reader's name, which may be the writer's under an alias.
    pub(super) name: String,
    pub(super) node: NodeId,
    /// False for a field that only the writer has.
    pub(super) kept: bool,
}

/// A field that is filled with its default.
#[derive(Debug)]
pub(super) struct Added {
    pub(super) name: String,
    /// The default as the reader's schema encodes it.
    pub(super) datum: Vec<u8>,
    /// The shape of `datum`.
    pub(super) shape: Shape,
}

impl Shape {
    /// The shape of what `schema` writes, read as it was written.
    pub(in crate::codec) fn of(schema: &Avro) -> Self {
        Self::compiled(schema, None, schema, evolution::names(schema))
    }

    /// The shape of what `writer` writes, read as `reader` has it.
    pub(in crate::codec) fn between(writer: &Avro, reader: &Avro) -> Self {
        Self::compiled(writer, Some(reader), reader, evolution::names(writer))
    }

    fn compiled<'s>(
        writer: &'s Avro,
        reader: Option<&'s Avro>,
        root: &'s Avro,
        writer_names: HashMap<String, &'s Avro>,
    ) -> Self {
        let mut compiler = Compiler {
            writer_names,
            reader_names: evolution::names(root),
            reader_root: root,
            nodes: Vec::new(),
            seen: HashMap::new(),
        };
        compiler.node(writer, reader);
        Self {
            nodes: compiler.nodes,
        }
    }

    pub(super) fn root(&self) -> &Node {
        self.node(NodeId(0))
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        // Invariant: ids are made by this shape's compiler, each with its node.
        self.nodes.get(id.0).unwrap_or(&Node::Null)
    }

    /// True if null is a value of `node`.
    pub(super) fn is_nullable(&self, node: &Node) -> bool {
        match node {
            Node::Null => true,
            Node::Union(branches) => branches
                .iter()
                .any(|branch| matches!(self.node(branch.node), Node::Null)),
            _ => false,
        }
    }
}

struct Compiler<'s> {
    writer_names: HashMap<String, &'s Avro>,
    reader_names: HashMap<String, &'s Avro>,
    reader_root: &'s Avro,
    nodes: Vec<Node>,
    /// The nodes of pairs of named types, by full names: types may be recursive.
    seen: HashMap<(String, Option<String>), NodeId>,
}

impl<'s> Compiler<'s> {
    /// The node of what `writer` writes, read by `reader`, or else as it was written.
    fn node(&mut self, writer: &'s Avro, reader: Option<&'s Avro>) -> NodeId {
        let writer = evolution::resolved(writer, &self.writer_names);
        let reader = reader.map(|reader| self.branch_for(writer, reader));
        let full_name = |schema: &Avro| schema.name().map(|name| name.fullname(None));
        let pair = full_name(writer)
            .map(|name| (name, reader.map(full_name).map(Option::unwrap_or_default)));
        if let Some(id) = pair.as_ref().and_then(|pair| self.seen.get(pair)) {
            return *id;
        }
        let id = NodeId(self.nodes.len());
        self.nodes.push(Node::Null);
        self.seen.extend(pair.map(|pair| (pair, id)));
        let node = self.compile(writer, reader);
        if let Some(place) = self.nodes.get_mut(id.0) {
            *place = node;
        }
        id
    }

    /// The branch of `reader` that suits `writer` best, if `reader` is a union that has one.
    fn branch_for(&self, writer: &Avro, reader: &'s Avro) -> &'s Avro {
        let reader = evolution::resolved(reader, &self.reader_names);
        let (Avro::Union(union), false) = (reader, matches!(writer, Avro::Union(_))) else {
            return reader;
        };
        let branches = union.variants().iter();
        branches
            .map(|branch| evolution::resolved(branch, &self.reader_names))
            .filter_map(|branch| Some((distance(writer, branch)?, branch)))
            .min_by_key(|(distance, _)| *distance)
            .map_or(reader, |(_, branch)| branch)
    }

    fn compile(&mut self, writer: &'s Avro, reader: Option<&'s Avro>) -> Node {
        match (writer, reader) {
            (Avro::Union(union), _) => self.union(union, reader),
            (_, Some(reader)) if distance(writer, reader).is_none() => refused(writer, reader),
            (Avro::Record(writer), Some(Avro::Record(reader))) => {
                self.resolved_record(writer, reader)
            }
            (Avro::Record(writer), _) => self.record(writer),
            (Avro::Enum(writer), Some(Avro::Enum(reader))) => resolved_enum(writer, reader),
            (Avro::Enum(writer), _) => {
                Node::Enum(writer.symbols.iter().cloned().map(Some).collect())
            }
            (Avro::Array(writer), Some(Avro::Array(reader))) => {
                Node::Array(self.node(&writer.items, Some(&reader.items)))
            }
            (Avro::Array(writer), _) => Node::Array(self.node(&writer.items, None)),
            (Avro::Map(writer), Some(Avro::Map(reader))) => {
                Node::Map(self.node(&writer.types, Some(&reader.types)))
            }
            (Avro::Map(writer), _) => Node::Map(self.node(&writer.types, None)),
            _ => plain(Kind::of(writer), Kind::of(reader.unwrap_or(writer))),
        }
    }

    fn union(&mut self, writer: &'s UnionSchema, reader: Option<&'s Avro>) -> Node {
        let branches = writer.variants().iter();
        Node::Union(branches.map(|branch| self.branch(branch, reader)).collect())
    }

    fn branch(&mut self, writer: &'s Avro, reader: Option<&'s Avro>) -> Branch {
        let written = evolution::resolved(writer, &self.writer_names);
        let read = reader.map_or(written, |reader| self.branch_for(written, reader));
        Branch {
            name: evolution::short_name(read),
            node: self.node(writer, reader),
        }
    }

    fn record(&mut self, writer: &'s RecordSchema) -> Node {
        let field = |field: &'s RecordField| Field {
            name: field.name.clone(),
            node: self.node(&field.schema, None),
            kept: true,
        };
        Node::Record(Record {
            name: writer.name.name().to_owned(),
            fields: writer.fields.iter().map(field).collect(),
            added: Vec::new(),
            read_in_order_by: AtomicUsize::default(),
        })
    }

    fn resolved_record(&mut self, writer: &'s RecordSchema, reader: &'s RecordSchema) -> Node {
        let mut missing: Vec<&RecordField> = reader.fields.iter().collect();
        let mut fields = Vec::with_capacity(writer.fields.len());
        for field in &writer.fields {
            let reads = |f: &&RecordField| {
                evolution::counterpart(f, writer).is_some_and(|found| found.name == field.name)
            };
            let wanted = missing.iter().position(reads).map(|at| missing.remove(at));
            fields.push(Field {
                name: wanted.map_or(&field.name, |wanted| &wanted.name).clone(),
                node: self.node(&field.schema, wanted.map(|wanted| &wanted.schema)),
                kept: wanted.is_some(),
            });
        }
        let added: Result<_, _> = missing.into_iter().map(|field| self.added(field)).collect();
        match added {
            Ok(added) => Node::Record(Record {
                name: writer.name.name().to_owned(),
                fields,
                added,
                read_in_order_by: AtomicUsize::default(),
            }),
            Err(why) => Node::Refused(why),
        }
    }

    fn added(&self, field: &RecordField) -> Result<Added, String> {
        let datum = default::datum(field, &self.reader_names);
        let names = self.reader_names.clone();
        Ok(Added {
            name: field.name.clone(),
            datum: datum.map_err(|error| error.to_string())?,
            shape: Shape::compiled(&field.schema, None, self.reader_root, names),
        })
    }
}

/// How far `reader` is from `writer`: 0 for the same type; `None` if it cannot read it.
fn distance(writer: &Avro, reader: &Avro) -> Option<u8> {
    let named = |full: bool, same: bool| full.then_some(0).or(same.then_some(1));
    match (writer, reader) {
        (Avro::Record(w), Avro::Record(r)) => {
            let same = evolution::same_name(&w.name, &r.name, r.aliases.as_deref());
            named(w.name == r.name, same)
        }
        (Avro::Enum(w), Avro::Enum(r)) => {
            let same = evolution::same_name(&w.name, &r.name, r.aliases.as_deref());
            named(w.name == r.name, same)
        }
        (Avro::Decimal(w), Avro::Decimal(r))
            if (w.precision, w.scale) != (r.precision, r.scale) =>
        {
            None
        }
        (Avro::Array(_), Avro::Array(_)) | (Avro::Map(_), Avro::Map(_)) => Some(0),
        _ => match (Kind::of(writer), Kind::of(reader)) {
            (Kind::Compound, _) | (_, Kind::Compound) => None,
            (from, to) if from == to => Some(0),
            (from, to) if from.widens_to(to) => Some(2),
            (from, to) => from.converts_to(to).then_some(3),
        },
    }
}

/// The node of what is encoded as `from` and read as `to`, which is the same, wider, or text for
/// bytes.
fn plain(from: Kind, to: Kind) -> Node {
    match (from, to) {
        (Kind::Int | Kind::Long, Kind::Float) => Node::LongAsFloat,
        (Kind::Int | Kind::Long, Kind::Double) => Node::LongAsDouble,
        (Kind::Float, Kind::Double) => Node::FloatAsDouble,
        (_, Kind::Null) => Node::Null,
        (_, Kind::Boolean) => Node::Boolean,
        (_, Kind::Int) => Node::Int,
        (_, Kind::Long) => Node::Long,
        (_, Kind::Float) => Node::Float,
        (_, Kind::Double) => Node::Double,
        (_, Kind::Bytes) => Node::Bytes,
        (_, Kind::String) => Node::String,
        (_, Kind::Fixed(size)) => Node::Fixed(size),
        (_, Kind::Compound) => Node::Refused("a reference to a type that is not defined".into()),
    }
}

fn resolved_enum(writer: &EnumSchema, reader: &EnumSchema) -> Node {
    let known = |symbol: &String| reader.symbols.contains(symbol).then(|| symbol.clone());
    let symbols = writer.symbols.iter();
    Node::Enum(
        symbols
            .map(|symbol| known(symbol).or_else(|| reader.default.clone()))
            .collect(),
    )
}

fn refused(writer: &Avro, reader: &Avro) -> Node {
    let (writer, reader) = (evolution::describe(writer), evolution::describe(reader));
    Node::Refused(format!("{writer} cannot be read as {reader}"))
}
