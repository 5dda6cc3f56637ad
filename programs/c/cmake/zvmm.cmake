# CMake toolchain file for programs that run in zvmm:
#
#   cmake -B build -DCMAKE_TOOLCHAIN_FILE="$(zvmm sdk --path)/c/cmake/zvmm.cmake"
set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_SYSTEM_PROCESSOR x86_64)

find_program(ZVMM zvmm REQUIRED)
set(CMAKE_C_COMPILER "${ZVMM}" cc)
set(CMAKE_CXX_COMPILER "${ZVMM}" c++)

set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
