//! Instructions that use the stack, with the stack on absent pages.

use crate::ground::Ground;
use crate::machine::{MARKED, Registers, finish, run};
use test_guests::{Outcome, equal};

fn push_register(ground: &Ground) -> Outcome {
    let stack = ground.at(2, 4);
    let before = Registers {
        rsp: stack,
        ..MARKED
    };
    run!(before, "push rax").expect(Registers {
        rsp: stack - 8,
        ..before
    })?;
    ground.expect(&[(stack - 8, &before.rax.to_le_bytes())])
}

fn push_immediate(ground: &Ground) -> Outcome {
    let stack = ground.at(2, 0);
    let before = Registers {
        rsp: stack,
        ..MARKED
    };
    run!(before, "push -2").expect(Registers {
        rsp: stack - 8,
        ..before
    })?;
    ground.expect(&[(stack - 8, &(-2i64).to_le_bytes())])
}

/// push rsp stores the old value.
fn push_rsp(ground: &Ground) -> Outcome {
    let stack = ground.at(2, 5);
    let before = Registers {
        rsp: stack,
        ..MARKED
    };
    run!(before, "push rsp").expect(Registers {
        rsp: stack - 8,
        ..before
    })?;
    ground.expect(&[(stack - 8, &stack.to_le_bytes())])
}

/// An operand addressed through rsp: the old rsp for push.
fn push_rsp_relative(ground: &Ground) -> Outcome {
    let stack = ground.at(2, 4);
    let source = ground.at(5, -3);
    let before = Registers {
        rsp: stack,
        rcx: source - stack,
        ..MARKED
    };
    let after = run!(before, "push qword ptr [rsp + rcx]");
    after.expect(Registers {
        rsp: stack - 8,
        ..before
    })?;
    ground.expect(&[(stack - 8, &ground.initial(source).to_le_bytes())])
}

/// ... and the new rsp for pop.
fn pop_rsp_relative(ground: &Ground) -> Outcome {
    let stack = ground.at(2, -4);
    let target = ground.at(5, -3);
    let before = Registers {
        rsp: stack,
        rcx: target - (stack + 8),
        ..MARKED
    };
    let value = ground.initial(stack);
    let after = run!(before, "pop qword ptr [rsp + rcx]");
    after.expect(Registers {
        rsp: stack + 8,
        ..before
    })?;
    ground.expect(&[(target, &value.to_le_bytes())])
}

fn pop_register(ground: &Ground) -> Outcome {
    let stack = ground.at(2, -4);
    let before = Registers {
        rsp: stack,
        ..MARKED
    };
    let after = run!(before, "pop rax");
    after.expect(Registers {
        rax: ground.initial(stack),
        rsp: stack + 8,
        ..before
    })
}

fn push_word(ground: &Ground) -> Outcome {
    let stack = ground.at(2, 1);
    let before = Registers {
        rsp: stack,
        ..MARKED
    };
    run!(before, "push ax").expect(Registers {
        rsp: stack - 2,
        ..before
    })?;
    ground.expect(&[(stack - 2, &(before.rax as u16).to_le_bytes())])
}

fn push_flags(ground: &Ground) -> Outcome {
    let stack = ground.at(2, 4);
    let before = Registers {
        rsp: stack,
        ..MARKED
    };
    let after = run!(before, "stc", "pushfq");
    after.expect(Registers {
        rsp: stack - 8,
        ..before
    })?;
    let mut flags = [0; 8];
    ground.read(stack - 8, &mut flags)?;
    equal!(u64::from_le_bytes(flags) & 3, 3);
    ground.expect(&[(stack - 8, &flags)])
}

fn pop_flags(ground: &Ground) -> Outcome {
    let stack = ground.at(2, -4);
    ground.plant(stack, &0x203u64.to_le_bytes())?;
    let before = Registers {
        rsp: stack,
        ..MARKED
    };
    let after = run!(before, "popfq");
    after.expect(Registers {
        rsp: stack + 8,
        ..before
    })?;
    equal!(after.rflags & 1, 1);
    ground.expect(&[(stack, &0x203u64.to_le_bytes())])
}

fn call_near(ground: &Ground) -> Outcome {
    let stack = ground.at(2, 4);
    let before = Registers {
        rsp: stack,
        ..MARKED
    };
    let after = run!(before, "lea r8, [rip + 4f]", "call 4f", "4:");
    after.expect(Registers {
        rsp: stack - 8,
        r8: after.r8,
        ..before
    })?;
    ground.expect(&[(stack - 8, &after.r8.to_le_bytes())])
}

fn call_register(ground: &Ground) -> Outcome {
    let stack = ground.at(2, 4);
    let before = Registers {
        rsp: stack,
        r9: finish(),
        ..MARKED
    };
    let after = run!(before, "lea r8, [rip + 4f]", "call r9", "4:", "ud2");
    after.expect(Registers {
        rsp: stack - 8,
        r8: after.r8,
        ..before
    })?;
    ground.expect(&[(stack - 8, &after.r8.to_le_bytes())])
}

/// The target on one absent page, the stack on another.
fn call_through_memory(ground: &Ground) -> Outcome {
    let (stack, target) = (ground.at(2, 4), ground.at(5, -3));
    ground.plant(target, &finish().to_le_bytes())?;
    let before = Registers {
        rsp: stack,
        rbx: target,
        ..MARKED
    };
    let after = run!(before, "lea r8, [rip + 4f]", "call [rbx]", "4:", "ud2");
    after.expect(Registers {
        rsp: stack - 8,
        r8: after.r8,
        ..before
    })?;
    ground.expect(&[
        (stack - 8, &after.r8.to_le_bytes()),
        (target, &finish().to_le_bytes()),
    ])
}

fn jump_through_memory(ground: &Ground) -> Outcome {
    let target = ground.at(2, -3);
    ground.plant(target, &finish().to_le_bytes())?;
    let before = Registers {
        rbx: target,
        ..MARKED
    };
    run!(before, "jmp [rbx]").expect(before)?;
    ground.expect(&[(target, &finish().to_le_bytes())])
}

fn ret(ground: &Ground) -> Outcome {
    let stack = ground.at(2, -4);
    ground.plant(stack, &finish().to_le_bytes())?;
    let before = Registers {
        rsp: stack,
        ..MARKED
    };
    run!(before, "ret").expect(Registers {
        rsp: stack + 8,
        ..before
    })?;
    ground.expect(&[(stack, &finish().to_le_bytes())])
}

fn ret_and_drop(ground: &Ground) -> Outcome {
    let stack = ground.at(2, -4);
    ground.plant(stack, &finish().to_le_bytes())?;
    let before = Registers {
        rsp: stack,
        ..MARKED
    };
    run!(before, "ret 5000").expect(Registers {
        rsp: stack + 8 + 5000,
        ..before
    })?;
    ground.expect(&[(stack, &finish().to_le_bytes())])
}

fn leave(ground: &Ground) -> Outcome {
    let frame = ground.at(2, -4);
    let before = Registers {
        rbp: frame,
        ..MARKED
    };
    let after = run!(before, "leave");
    after.expect(Registers {
        rsp: frame + 8,
        rbp: ground.initial(frame),
        ..before
    })
}

fn enter(ground: &Ground) -> Outcome {
    let stack = ground.at(2, 4);
    let before = Registers {
        rsp: stack,
        ..MARKED
    };
    let after = run!(before, "enter 32, 0");
    after.expect(Registers {
        rsp: stack - 40,
        rbp: stack - 8,
        ..before
    })?;
    ground.expect(&[(stack - 8, &before.rbp.to_le_bytes())])
}

/// The frame and the locals on different absent pages.
fn enter_large(ground: &Ground) -> Outcome {
    let stack = ground.at(5, 4);
    let before = Registers {
        rsp: stack,
        ..MARKED
    };
    let after = run!(before, "enter 8192, 0");
    after.expect(Registers {
        rsp: stack - 8 - 8192,
        rbp: stack - 8,
        ..before
    })?;
    ground.expect(&[(stack - 8, &before.rbp.to_le_bytes())])
}

/// With nesting, enter copies frame pointers from the old frame, here on another absent page.
fn enter_nested(ground: &Ground) -> Outcome {
    let (stack, frame) = (ground.at(2, 4), ground.at(5, 4));
    let before = Registers {
        rsp: stack,
        rbp: frame,
        ..MARKED
    };
    let after = run!(before, "enter 16, 2");
    after.expect(Registers {
        rsp: stack - 24 - 16,
        rbp: stack - 8,
        ..before
    })?;
    ground.expect(&[
        (stack - 8, &frame.to_le_bytes()),
        (stack - 16, &ground.initial(frame - 8).to_le_bytes()),
        (stack - 24, &(stack - 8).to_le_bytes()),
    ])
}

crate::table! {
    Load: pop_register leave;
    Store: push_register push_immediate push_rsp push_rsp_relative pop_rsp_relative push_word
        push_flags pop_flags call_near call_register call_through_memory jump_through_memory ret
        ret_and_drop enter enter_large enter_nested;
}
