//! Values of any schema, and schemas, from a seed.

use std::collections::HashMap;

use apache_avro::schema::UuidSchema;
use apache_avro::types::Value;
use apache_avro::{Days, Decimal, Duration, Millis, Months, Schema};
use serde_json::json;

use crate::codec::names;

/// Numbers that only a seed decides.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`.
    pub(crate) fn next(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn one_of<'a, T>(&mut self, among: &'a [T]) -> &'a T {
        &among[self.next(among.len() as u64) as usize]
    }

    /// Small numbers, large ones and the limits.
    fn long(&mut self) -> i64 {
        let number = (self.next(1 << 31) << 33 | self.next(1 << 31) << 2) as i64;
        match self.next(8) {
            0 => i64::MIN,
            1 => i64::MAX,
            2 => number,
            _ => number >> self.next(64),
        }
    }
}

/// Makes values of a schema, other ones for each seed.
#[derive(Debug)]
pub(crate) struct Sample<'s> {
    dice: Dice,
    names: HashMap<String, &'s Schema>,
}

impl<'s> Sample<'s> {
    pub(crate) fn new(seed: u64, schema: &'s Schema) -> Self {
        Self {
            dice: Dice::new(seed),
            names: names(schema),
        }
    }

    pub(crate) fn value(&mut self, schema: &'s Schema) -> Value {
        self.field("", schema)
    }

    fn field(&mut self, field: &str, schema: &'s Schema) -> Value {
        match schema {
            Schema::Array(array) => {
                let len = self.dice.next(4);
                Value::Array((0..len).map(|_| self.field(field, &array.items)).collect())
            }
            Schema::Map(map) => {
                // A map of more has no order, so no bytes of its own.
                let len = self.dice.next(2);
                let entry = |n| (format!("k{n}"), self.field(field, &map.types));
                Value::Map((0..len).map(entry).collect())
            }
            Schema::Union(union) => {
                let index = self.dice.next(union.variants().len() as u64) as usize;
                let value = self.field(field, &union.variants()[index]);
                Value::Union(index as u32, Box::new(value))
            }
            Schema::Record(record) => {
                let fields = record.fields.iter();
                let field = |f: &'s apache_avro::schema::RecordField| {
                    (f.name.clone(), self.field(&f.name, &f.schema))
                };
                Value::Record(fields.map(field).collect())
            }
            Schema::Ref { name } => self.field(field, self.names[&name.fullname(None)]),
            plain => self.plain(field, plain),
        }
    }

    fn plain(&mut self, field: &str, schema: &Schema) -> Value {
        let dice = &mut self.dice;
        match schema {
            Schema::Null => Value::Null,
            Schema::Boolean => Value::Boolean(dice.next(2) == 1),
            Schema::Int => Value::Int(dice.long() as i32),
            Schema::Long => Value::Long(dice.long()),
            Schema::Float => Value::Float(dice.long() as f32 / 8.0),
            Schema::Double => Value::Double(dice.long() as f64 / 8.0),
            Schema::String => text(field, dice),
            Schema::Bytes => Value::Bytes(vec![dice.next(256) as u8; 17 * dice.next(9) as usize]),
            Schema::Fixed(fixed) => {
                Value::Fixed(fixed.size, vec![dice.next(256) as u8; fixed.size])
            }
            Schema::Enum(symbols) => {
                let index = dice.next(symbols.symbols.len() as u64) as usize;
                Value::Enum(index as u32, symbols.symbols[index].clone())
            }
            logical => self.logical(logical),
        }
    }

    fn logical(&mut self, schema: &Schema) -> Value {
        let number = self.dice.long();
        match schema {
            Schema::Date => Value::Date(number as i32),
            Schema::TimeMillis => Value::TimeMillis(number as i32),
            Schema::TimeMicros => Value::TimeMicros(number),
            Schema::TimestampMillis => Value::TimestampMillis(number),
            Schema::TimestampMicros => Value::TimestampMicros(number),
            Schema::Uuid(UuidSchema::String) => Value::Uuid(uuid::Uuid::from_u128(number as u128)),
            Schema::Decimal(_) => Value::Decimal(Decimal::from(i128::from(number).to_be_bytes())),
            Schema::Duration(_) => {
                let [a, b] = [1, 2].map(|_| self.dice.next(1 << 31) as u32);
                Value::Duration(Duration::new(Months::new(a), Days::new(b), Millis::new(a)))
            }
            other => panic!("no sample of {other:?}"),
        }
    }
}

fn text(field: &str, dice: &mut Dice) -> Value {
    let text = match field {
        "currency" => (*dice.one_of(&["EUR", "JPY", "KWD"])).to_owned(),
        _ => format!("{field}-{}-é", dice.next(1000)),
    };
    Value::String(text)
}

/// Makes the JSON of schemas, other ones for each seed. No named type contains itself.
#[derive(Debug)]
pub(crate) struct Schemas {
    dice: Dice,
    /// The full names that may be referred to.
    defined: Vec<String>,
    named: usize,
}

const PRIMITIVES: [&str; 8] = [
    "null", "boolean", "int", "long", "float", "double", "bytes", "string",
];

impl Schemas {
    /// A record with fields of all kinds of types.
    pub(crate) fn record(seed: u64) -> Schema {
        let mut schemas = Self {
            dice: Dice::new(seed),
            defined: Vec::new(),
            named: 0,
        };
        let json = schemas.fields(3);
        Schema::parse(&json).unwrap_or_else(|e| panic!("seed {seed}: {e}: {json}"))
    }

    fn fields(&mut self, depth: u32) -> serde_json::Value {
        let name = self.name();
        let count = self.dice.next(5) + u64::from(depth);
        let field = |n| json!({"name": format!("f{n}"), "type": self.any(depth)});
        let fields: Vec<_> = (0..count).map(field).collect();
        let space = format!("space{}", self.dice.next(2));
        self.defined.push(format!("{space}.{name}"));
        json!({"type": "record", "name": name, "namespace": space, "fields": fields})
    }

    fn any(&mut self, depth: u32) -> serde_json::Value {
        match (self.dice.next(10), depth) {
            (0, 1..) => self.fields(depth - 1),
            (1, 1..) => json!({"type": "array", "items": self.any(depth - 1)}),
            (2, 1..) => json!({"type": "map", "values": self.any(depth - 1)}),
            (3, 1..) => self.union(depth - 1),
            (4, _) => self.named_plain(),
            (5, _) => self.annotated(),
            (6, _) if !self.defined.is_empty() => json!(self.dice.one_of(&self.defined)),
            _ => json!(self.dice.one_of(&PRIMITIVES)),
        }
    }

    fn union(&mut self, depth: u32) -> serde_json::Value {
        let first = self.dice.next(8) as usize;
        let primitives = PRIMITIVES.iter().skip(first).take(2);
        let mut branches: Vec<_> = primitives.map(|name| json!(name)).collect();
        branches.push(match self.dice.next(3) {
            0 => json!({"type": "array", "items": self.any(depth)}),
            1 => json!({"type": "map", "values": self.any(depth)}),
            _ => json!({"type": "array", "items": "int"}),
        });
        branches.insert(0, self.named_plain());
        if depth > 0 {
            branches.push(self.fields(depth - 1));
        }
        json!(branches)
    }

    fn named_plain(&mut self) -> serde_json::Value {
        let name = self.name();
        self.defined.push(format!("plain.{name}"));
        match self.dice.next(2) {
            0 => json!({"type": "fixed", "name": name, "namespace": "plain",
                "size": self.dice.next(20) + 1}),
            _ => json!({"type": "enum", "name": name, "namespace": "plain",
                "symbols": ["A", "B", "C"]}),
        }
    }

    fn annotated(&mut self) -> serde_json::Value {
        let (primitive, logical) = *self.dice.one_of(&[
            ("int", "date"),
            ("int", "time-millis"),
            ("long", "time-micros"),
            ("long", "timestamp-millis"),
            ("long", "timestamp-micros"),
            ("string", "uuid"),
        ]);
        match self.dice.next(8) {
            0 => json!({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}),
            1 => json!({"type": "fixed", "name": self.name(), "size": 12,
                "logicalType": "duration"}),
            2 => json!({"type": "fixed", "name": self.name(), "size": 16,
                "logicalType": "decimal", "precision": 20, "scale": 2}),
            _ => json!({"type": primitive, "logicalType": logical}),
        }
    }

    fn name(&mut self) -> String {
        self.named += 1;
        format!("N{}", self.named)
    }
}
