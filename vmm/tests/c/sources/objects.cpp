// C++ without exceptions and RTTI: static objects, new and delete, atomics, templates of the headers.
#include <algorithm>
#include <assert.h>
#include <atomic>
#include <new>
#include <optional>
#include <stdio.h>
#include <threads.h>
#include <vector>
#include <zircon/syscalls.h>

struct Shape {
    virtual int area() const = 0;
    virtual ~Shape() = default;
};

static std::atomic<int> alive{0};

struct Square : Shape {
    int side;
    explicit Square(int side) : side(side) { alive++; }
    ~Square() override
    {
        alive--;
        printf("square %d is gone, %d left\n", side, alive.load());
    }
    int area() const override { return side * side; }
};

static Square first(3);

static Square &local()
{
    static Square square(4);
    return square;
}

struct alignas(256) Wide {
    char bytes[256];
};

static std::atomic<long> sum{0};

static int add(void *)
{
    for (int i = 0; i < 1000; i++)
        sum.fetch_add(local().area());
    return 0;
}

int main()
{
    assert(alive == 1 && first.area() == 9);
    thrd_t threads[4];
    for (auto &thread : threads)
        assert(thrd_create(&thread, add, nullptr) == thrd_success);
    for (auto thread : threads)
        thrd_join(thread, nullptr);
    assert(sum == 4 * 1000 * 16 && alive == 2);

    Shape *shape = new Square(5);
    assert(shape->area() == 25);
    delete shape;
    auto *wide = new Wide;
    assert(reinterpret_cast<uintptr_t>(wide) % 256 == 0);
    delete wide;
    char *volatile too_much = new (std::nothrow) char[1ul << 40];
    assert(too_much == nullptr);

    std::vector<int> numbers;
    for (int i = 100; i > 0; i--)
        numbers.push_back(i);
    std::sort(numbers.begin(), numbers.end());
    std::optional<int> found = *std::lower_bound(numbers.begin(), numbers.end(), 42);
    printf("%d of %zu\n", *found, numbers.size());
}
