//! What the rule of payment decides, case by case.
